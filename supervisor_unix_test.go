//go:build unix

package gipc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	ossignal "os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// countFDs counts the open descriptors of this process.
func countFDs(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/dev/fd")
	need(t, err)
	return len(list)
}

// dupFile returns a second descriptor of a file.
func dupFile(f *os.File) (*os.File, error) {
	var fd int
	var errDup error
	if err := withFD(f, func(old uintptr) { fd, errDup = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if errDup != nil {
		return nil, errDup
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func init() {
	deeds["ignore all"] = func(ctx context.Context, a deedArgs) error {
		ossignal.Ignore(syscall.SIGTERM)
		if err := Ready(ctx); err != nil {
			return err
		}
		select {}
	}
	// The grandchild has its parent's stdout and stderr, and lives until its stdin ends.
	deeds["fork and die"] = func(ctx context.Context, a deedArgs) error {
		cmd := exec.Command("cat")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = a.File, os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		panic("died young")
	}
}

// tellPipe returns a pipe on which all processes of a tree tell their names, and whose end says that none is left.
func tellPipe(t *testing.T) (lines *bufio.Scanner, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	need(t, err)
	t.Cleanup(func() { _ = r.Close() })
	need(t, r.SetReadDeadline(time.Now().Add(time.Minute)))
	return bufio.NewScanner(r), w
}

// heard reads n lines, "name pid", and returns the pids by name.
func heard(t *testing.T, lines *bufio.Scanner, n int) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for range n {
		if !lines.Scan() {
			t.Fatalf("after %v: %v", pids, lines.Err())
		}
		var name string
		var pid int
		if _, err := fmt.Sscan(lines.Text(), &name, &pid); err != nil {
			t.Fatal(err)
		}
		pids[name] = pid
	}
	return pids
}

// gone waits until no process of the tree is left.
func gone(t *testing.T, lines *bufio.Scanner) {
	t.Helper()
	for lines.Scan() {
	}
	need(t, lines.Err())
}

// The process of a supervisor is killed: within the grace all of its children are gone, those that don't listen too.
func TestSupervisorProcessKilled(t *testing.T) {
	t.Parallel() // most of it is waiting
	for _, deaf := range []bool{false, true} {
		lines, tell := tellPipe(t)
		const grace = 2 * time.Second
		args := nestArgs{Name: "root", Tell: tell, Inner: []string{"a", "b", "c"}, Grace: grace, Deaf: deaf}
		p := spawnIt(t, entryNest, args, nil)
		heard(t, lines, 4)
		began := time.Now()
		need(t, p.Signal(os.Kill))
		gone(t, lines)
		took := time.Since(began)
		t.Logf("deaf %v: gone after %v", deaf, took)
		if took > grace+3*time.Second || deaf && took < grace/2 {
			t.Errorf("deaf %v: gone after %v, the grace is %v", deaf, took, grace)
		}
	}
}

// A supervisor of supervisors: the whole tree stops, also after a process in its middle was killed.
func TestNestedSupervisors(t *testing.T) {
	for _, kill := range []bool{false, true} {
		lines, tell := tellPipe(t)
		s, log := superviseIt(t, SupervisorOptions{Backoff: Backoff{Min: 1, Max: 1}})
		for _, m := range []string{"m1", "m2"} {
			need(t, s.Start(Child(entryNest, func(context.Context) (nestArgs, error) {
				dup, err := dupFile(tell)
				return nestArgs{Name: m, Tell: dup, Inner: []string{m + "a", m + "b"}, Grace: time.Second}, err
			}, &ChildOptions{Spawn: &SpawnOptions{Name: m}})))
		}
		pids := heard(t, lines, 6)
		if kill {
			sendSignal(t, pids["m1"], os.Kill)
			log.awaitKind(t, EventExited, "m1", 1)
			if again := heard(t, lines, 3); again["m1"] == 0 || again["m1a"] == 0 || again["m1b"] == 0 {
				t.Errorf("restarted: %v", again)
			}
			sendSignal(t, pids["m2"], os.Kill) // and at once:
		}
		_ = tell.Close() // the children have their own
		if err := s.Stop(procCtx(t)); err != nil && !kill {
			t.Error(err)
		}
		gone(t, lines)
	}
}

// A child that forks a grandchild and dies is missed at once, though the grandchild holds its output open.
func TestSupervisedChildForksAndDies(t *testing.T) {
	t.Parallel() // most of it is waiting

	var fds [2]int // of a blocking pipe, as cat needs it
	syscall.ForkLock.RLock()
	need(t, unix.Pipe(fds[:]))
	input, end := os.NewFile(uintptr(fds[0]), "input"), os.NewFile(uintptr(fds[1]), "end")
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	syscall.ForkLock.RUnlock()
	defer end.Close()
	defer input.Close()
	s, log := superviseIt(t, SupervisorOptions{Backoff: Backoff{Min: 1, Max: 1}, MaxRestarts: 2})
	out, hold, err := os.Pipe()
	need(t, err)
	defer out.Close()
	var stderr strings.Builder
	need(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		dup, err := dupFile(input)
		return deedArgs{Do: "fork and die", File: dup}, err
	}, &ChildOptions{Spawn: &SpawnOptions{Stdout: hold, Stderr: &stderr}})))
	began := time.Now()
	err = s.Wait()
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Panic != "died young" {
		t.Errorf("Wait is %v", err)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("three lives took %v", d)
	}
	if n := log.count(EventStarting); n != 3 {
		t.Errorf("%d starts", n)
	}
	need(t, hold.Close())
	_, err = end.WriteString("hello")
	need(t, err)
	need(t, end.Close()) // the grandchildren end
	if said, err := io.ReadAll(out); err != nil || string(said) != "hello" {
		t.Errorf("the grandchildren said %q, %v", said, err)
	}
}

// SIGTERM comes after three quarters of the grace, SIGKILL at its end.
func TestSupervisedChildIgnoresEverything(t *testing.T) {
	t.Parallel() // most of it is waiting
	s, log := superviseIt(t, SupervisorOptions{})
	need(t, s.Start(
		deedChild("rock", "ignore all", ChildOptions{WaitReady: true}, SpawnOptions{Grace: 400 * time.Millisecond}),
		deedChild("mule", "ignore ctx", ChildOptions{}, SpawnOptions{Grace: 400 * time.Millisecond}),
	))
	log.awaitKind(t, EventReady, "rock", 1)
	log.awaitKind(t, EventReady, "mule", 1)
	if err := s.Stop(procCtx(t)); err == nil {
		t.Error("Stop is nil")
	}
	for name, sig := range map[string]syscall.Signal{"rock": syscall.SIGKILL, "mule": syscall.SIGTERM} {
		var exit *ExitError
		if e := log.awaitKind(t, EventStopped, name, 1); !errors.As(e.Err, &exit) || exit.Signal != sig {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// A child that stands still is found by its silence. One that is merely busy is not.
func TestSupervisedLiveness(t *testing.T) {
	t.Parallel() // most of it is waiting
	const patience = 2 * time.Second
	s, log := superviseIt(t, SupervisorOptions{})
	need(t, s.Start(
		deedChild("stopped", "await ctx", ChildOptions{Liveness: patience}, SpawnOptions{}),
		deedChild("busy", "spin", ChildOptions{Liveness: patience}, SpawnOptions{Grace: 100 * time.Millisecond}),
	))
	pid := log.awaitKind(t, EventReady, "stopped", 1).PID
	busy := log.awaitKind(t, EventReady, "busy", 1).PID
	began := time.Now()
	sendSignal(t, pid, syscall.SIGSTOP)
	e := log.awaitKind(t, EventExited, "stopped", 1)
	if d := time.Since(began); d < patience*3/4 || d > 30*time.Second {
		t.Errorf("killed after %v", d)
	}
	var exit *ExitError
	if !errors.As(e.Err, &exit) || !errors.Is(exit.Err, errNoAnswer) || exit.Signal != syscall.SIGKILL {
		t.Errorf("exited: %v", e)
	}
	if again := log.awaitKind(t, EventReady, "stopped", 2); again.PID == pid {
		t.Error("it was not started again")
	}
	if now := s.Children()[1]; now.PID != busy || now.State != ChildRunning {
		t.Errorf("the busy child:\n%v", s.Children())
	}
}
