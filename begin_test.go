package gipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/codec"
	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/pack"
	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	// Sends what is no report.
	addDeed("break protocol", func(ctx context.Context, a deedArgs) error {
		if err := inheritance.control.w.Put(ctx, []byte(a.Text)); err != nil {
			return err
		}
		select {}
	})
}

// A child that can't be understood can't be stopped by asking, either.
func TestChildThatBreaksTheProtocolIsKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tooMuch := pack.Append(nil, &report{Serving: true, Text: strings.Repeat("x", maxReport)}) // wrong in nothing but its size
	for name, text := range map[string]string{"nonsense": "\xff\xff", "nothing": "", "too much": string(tooMuch)} {
		p := spawnIt(t, entryDeed, deedArgs{Do: "break protocol", Text: text}, nil)
		err := p.Wait(ctx)
		var exit *ExitError
		if !errors.As(err, &exit) || !strings.Contains(err.Error(), "control channel") || strings.Contains(err.Error(), "besides") {
			t.Errorf("%s: %v", name, err)
		}
		if code, _ := p.ExitCode(); code != -9 && code != 128+9 {
			t.Errorf("%s: code %d", name, code)
		}
	}
}

var entryMark = Register("test/mark", func(_ context.Context, path string) error { return os.WriteFile(path, nil, 0o666) })

// The parent may end between the child's readiness and the order to run. Where there was no such order, Spawn has failed or
// will not return: the entrypoint must not run.
func TestChildWhoseParentEndsBeforeTheOrderToRunDoesNot(t *testing.T) {
	ctx := test.Context(t)
	path := filepath.Join(t.TempDir(), "mark")
	args, err := codec.Append(nil, path)
	test.Check(t, err)
	child, err := proc.Start(&proc.Command{Name: "mark"})
	test.Check(t, err)
	p := serve(ctx, child, &SpawnOptions{Name: "mark", Grace: time.Minute})
	close(p.told)
	test.Check(t, p.control.send(ctx, &hello{
		File: proc.FileID(), Build: proc.BuildID(), Entrypoint: entryMark.name, Grace: time.Minute,
	}))
	test.Check(t, p.control.w.Put(ctx, args))
	test.Equal(t, (<-p.ready).Ready, true)
	test.Check(t, p.control.w.CloseNow()) // as the parent's end does
	<-p.Done()
	code, _ := p.ExitCode()
	test.Equal(t, code, exitNoParent)
	_, err = os.Stat(path)
	test.Is(t, err, fs.ErrNotExist)
}

// A parent that stood still finds both: that the time is over, and what has come meanwhile.
func TestWhatHasComeInTimeCounts(t *testing.T) {
	over, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	<-over.Done()
	for range 50 {
		ready := make(chan report, 1)
		time.AfterFunc(time.Millisecond, func() { ready <- report{Ready: true} }) // the reading goroutine has its turn
		r, ok, err := firstReport(over, ready)
		if !r.Ready || !ok || err != nil {
			t.Fatalf("%+v, %v, %v", r, ok, err)
		}

		in, out, err := fd.NewPipe(0)
		test.Check(t, err)
		c := newControl(in, out, maxReport)
		test.Check(t, c.send(t.Context(), &report{Asked: true}))
		test.Check(t, c.w.Close())
		p := &Process{control: c, ready: make(chan report, 1)}
		test.Check(t, p.readReports(over))
		if r := <-p.ready; !r.Asked {
			t.Fatalf("%+v", r)
		}
		c.close()
	}
	exited := make(chan struct{})
	time.AfterFunc(time.Millisecond, func() { close(exited) })
	test.Equal(t, closedWithin(exited, 0), true) // as of a child that was to stop
	test.Equal(t, closedWithin(make(chan struct{}), 0), false)
	_, _, err := firstReport(over, make(chan report))
	test.Is(t, err, context.DeadlineExceeded)
	ended, end := context.WithCancel(context.Background())
	end()
	_, _, err = firstReport(ended, make(chan report))
	test.Is(t, err, context.Canceled)
}

// A child that gets the order to run in part will have the rest, and run.
func TestOrderThatIsSentInPartCounts(t *testing.T) {
	test.Check(t, toldToRun(nil))
	test.Check(t, toldToRun(&Error{"put", "w", fmt.Errorf("%w: %w", context.DeadlineExceeded, ErrPartial)}))
	test.Is(t, toldToRun(ErrPeerClosed), errEndedEarly)
}

// A child may do all it has to, and end, before Spawn knows that it was told to. Until then its control channel stays open.
func TestEndOfAChildWaitsForSpawn(t *testing.T) {
	ctx := test.Context(t)
	s := starter{entrypoint: entryDeed.Name(), opts: SpawnOptions{Command: otherProgram}, handover: &handover{}}
	s.setDefaults()
	child, err := s.startProcess()
	test.Check(t, err)
	p := serve(ctx, child, &s.opts)
	<-child.Served().Done() // the group has ended
	select {
	case <-p.done:
		t.Error("it has ended for good")
	case <-time.After(50 * time.Millisecond):
	}
	close(p.told)
	<-p.done
	test.Check(t, p.err)
}
