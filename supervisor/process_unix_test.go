//go:build unix

package supervisor

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	ossignal "os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// addDeed adds a deed under a name that is free.
func addDeed(name string, do func(ctx context.Context, a deedArgs) error) {
	if deeds[name] != nil {
		panic("there are two deeds " + strconv.Quote(name))
	}
	deeds[name] = do
}

func init() {
	addDeed("ignore all", func(ctx context.Context, a deedArgs) error {
		ossignal.Ignore(syscall.SIGTERM)
		if err := gipc.Ready(ctx); err != nil {
			return err
		}
		select {}
	})
	// The grandchild has its parent's stdout and stderr, and lives until its stdin ends.
	addDeed("fork and die", func(ctx context.Context, a deedArgs) error {
		cmd := exec.Command("cat")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = a.File, os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		panic("died young")
	})
}

// A child that forks a grandchild and dies is missed at once, though the grandchild holds its output open.
func TestSupervisedChildForksAndDies(t *testing.T) {
	t.Parallel() // most of it is waiting

	var fds [2]int // of a blocking pipe, as cat needs it
	syscall.ForkLock.RLock()
	test.Check(t, unix.Pipe(fds[:]))
	input, end := os.NewFile(uintptr(fds[0]), "input"), os.NewFile(uintptr(fds[1]), "end")
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	syscall.ForkLock.RUnlock()
	defer end.Close()
	defer input.Close()
	s, log := superviseIt(t, Options{Backoff: Backoff{Min: 1, Max: 1}, MaxRestarts: 2})
	out, hold, err := os.Pipe()
	test.Check(t, err)
	defer out.Close()
	var stderr strings.Builder
	test.Check(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		dup, err := test.DupFile(input)
		return deedArgs{Do: "fork and die", File: dup}, err
	}, &ChildOptions{Spawn: &gipc.SpawnOptions{Stdout: hold, Stderr: &stderr}})))
	began := time.Now()
	err = s.Wait()
	var exit *gipc.ExitError
	if !errors.As(err, &exit) || exit.Panic != "died young" {
		t.Errorf("Wait is %v", err)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("three lives took %v", d)
	}
	if n := log.count(EventStarting); n != 3 {
		t.Errorf("%d starts", n)
	}
	test.Check(t, hold.Close())
	_, err = end.WriteString("hello")
	test.Check(t, err)
	test.Check(t, end.Close()) // the grandchildren end
	if said, err := io.ReadAll(out); err != nil || string(said) != "hello" {
		t.Errorf("the grandchildren said %q, %v", said, err)
	}
}

// SIGTERM comes after three quarters of the grace, SIGKILL at its end.
func TestSupervisedChildIgnoresEverything(t *testing.T) {
	t.Parallel() // most of it is waiting
	s, log := superviseIt(t, Options{})
	test.Check(t, s.Start(
		deedChild("rock", "ignore all", ChildOptions{WaitReady: true}, gipc.SpawnOptions{Grace: 400 * time.Millisecond}),
		deedChild("mule", "ignore ctx", ChildOptions{}, gipc.SpawnOptions{Grace: 400 * time.Millisecond}),
	))
	log.awaitKind(t, EventReady, "rock", 1)
	log.awaitKind(t, EventReady, "mule", 1)
	if err := s.Stop(test.Context(t)); err == nil {
		t.Error("Stop is nil")
	}
	for name, sig := range map[string]syscall.Signal{"rock": syscall.SIGKILL, "mule": syscall.SIGTERM} {
		var exit *gipc.ExitError
		if e := log.awaitKind(t, EventStopped, name, 1); !errors.As(e.Err, &exit) || exit.Signal != sig {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// A child that stands still is found by its silence.
func TestSupervisedChildThatStandsStill(t *testing.T) {
	t.Parallel() // most of it is waiting
	const patience = 2 * time.Second
	s, log := superviseIt(t, Options{})
	test.Check(t, s.Start(deedChild("stopped", "await ctx", ChildOptions{Liveness: patience}, gipc.SpawnOptions{})))
	pid := log.awaitKind(t, EventReady, "stopped", 1).PID
	began := time.Now()
	sendSignal(t, pid, syscall.SIGSTOP)
	e := log.awaitKind(t, EventExited, "stopped", 1)
	if d := time.Since(began); d < patience*3/4 || d > 30*time.Second {
		t.Errorf("killed after %v", d)
	}
	var exit *gipc.ExitError
	if !errors.As(e.Err, &exit) || !errors.Is(exit.Err, errNoAnswer) || exit.Signal != syscall.SIGKILL {
		t.Errorf("exited: %v", e)
	}
	if again := log.awaitKind(t, EventReady, "stopped", 2); again.PID == pid {
		t.Error("it was not started again")
	}
}
