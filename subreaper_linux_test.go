package gipc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	// Ends a child and its grandchild where both become its own, and says what is left.
	addDeed("adopt", func(ctx context.Context, a deedArgs) error {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return err
		}
		other := exec.Command("sh", "-c", "exit 5")
		if err := other.Start(); err != nil {
			return err
		}
		r, w, err := Pipe[string](nil)
		if err != nil {
			return err
		}
		p, err := Spawn(ctx, entryDeed, deedArgs{Do: "grandchild", Text: "wait", Out: w}, &SpawnOptions{Grace: 100 * time.Millisecond})
		if err != nil {
			return err
		}
		if _, err := r.Get(ctx); err != nil {
			return err
		}
		if a.Text == "Kill" {
			err = p.Kill()
		} else if p.Stop(ctx) == nil {
			err = errors.New("it did as it was asked")
		}
		if err != nil {
			return err
		}
		<-p.Done()
		_ = other.Wait() // its code is looked at
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		return a.Out.Put(ctx, fmt.Sprint(other.ProcessState.ExitCode(), " ", pid, " ", err))
	})
}

// Where this program is a subreaper, or process 1 of a container, the members of a killed group become its children.
func TestKilledGroupLeavesNoZombiesToASubreaper(t *testing.T) {
	test.SkipUnderQEMU(t, "it refuses the prctl that makes a subreaper")
	for _, how := range []string{"Kill", "Stop"} {
		ctx := test.Context(t)
		r, w := stringPipe(t)
		p := spawnIt(t, entryDeed, deedArgs{Do: "adopt", Text: how, Out: w}, nil)
		if got, want := get(t, ctx, r), fmt.Sprint("5 -1 ", unix.ECHILD); got != want {
			t.Errorf("%s: %s, want %s", how, got, want)
		}
		test.Check(t, p.Wait(ctx))
	}
}
