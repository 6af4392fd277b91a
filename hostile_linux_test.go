package gipc

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	hostileLives["has filled the pipe of its orders"] = struct{ do, env string }{"fill orders", ""}
}

// A child that another process traces has ended long before it can be reaped. Nobody waits for that who has not said so.
func TestHostileChildThatIsTracedHoldsNobody(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "be traced", Out: w}, &SpawnOptions{Stderr: new(countingWriter)})
	tracer := get(t, ctx, r)
	if strings.HasPrefix(tracer, "not traced") {
		t.Skip("no process may trace another one here")
	}
	endWithTest(t, tracer)
	test.Eventually(t, "the child has ended", func() bool {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/stat")
		return err == nil && strings.Contains(string(status), ") Z ")
	})
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	for name, call := range map[string]func() error{
		"Kill":   p.Kill,
		"Signal": func() error { return p.Signal(os.Interrupt) },
		"Stop":   func() error { return p.Stop(short) },
	} {
		select {
		case <-test.Started(call):
		case <-ctx.Done():
			t.Errorf("%s does not return", name)
		}
	}
	pid, err := strconv.Atoi(tracer)
	test.Check(t, err)
	test.Check(t, unix.Kill(pid, unix.SIGKILL))
	test.Check(t, p.Wait(ctx))
}
