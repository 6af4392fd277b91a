package supervisor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// The Supervisor, and whole trees of processes.

// tellPipe returns a pipe on which all processes of a tree tell their names, and whose end says that none is left.
func tellPipe(t *testing.T) (lines *bufio.Scanner, w *os.File) {
	t.Helper()
	r, w, err := fd.NewOutputPipe()
	test.Check(t, err)
	t.Cleanup(func() { _ = r.Close() })
	test.Check(t, r.SetReadDeadline(time.Now().Add(time.Minute)))
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
	test.Check(t, lines.Err())
}

// The process of a supervisor is killed: within the grace all of its children are gone, those that don't listen too.
func TestSupervisorProcessKilled(t *testing.T) {
	t.Parallel() // most of it is waiting
	for _, deaf := range []bool{false, true} {
		lines, tell := tellPipe(t)
		const grace = 2 * time.Second
		args := nestArgs{Name: "root", Tell: tell, Inner: []string{"a", "b", "c"}, Grace: grace, Deaf: deaf}
		p, err := gipc.Spawn(context.Background(), entryNest, args, nil)
		test.Check(t, err)
		t.Cleanup(func() {
			_ = p.Kill() // it has ended, unless the test failed
			<-p.Done()
		})
		heard(t, lines, 4)
		began := time.Now()
		test.Check(t, p.Signal(os.Kill))
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
		s, log := superviseIt(t, Options{Backoff: Backoff{Min: 1, Max: 1}})
		for _, m := range []string{"m1", "m2"} {
			test.Check(t, s.Start(Child(entryNest, func(context.Context) (nestArgs, error) {
				dup, err := test.DupFile(tell)
				return nestArgs{Name: m, Tell: dup, Inner: []string{m + "a", m + "b"}, Grace: time.Second}, err
			}, &ChildOptions{Spawn: &gipc.SpawnOptions{Name: m}})))
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
		if err := s.Stop(test.Context(t)); err != nil && !kill {
			t.Error(err)
		}
		gone(t, lines)
	}
}

// A child that is merely busy is not taken for one that stands still, however long it is.
func TestSupervisedBusyChildCountsAsAlive(t *testing.T) {
	t.Parallel() // most of it is waiting
	const patience = time.Second
	s, log := superviseIt(t, Options{})
	test.Check(t, s.Start(deedChild("busy", "spin", ChildOptions{Liveness: patience}, gipc.SpawnOptions{Grace: 100 * time.Millisecond})))
	pid := log.awaitKind(t, EventReady, "busy", 1).PID
	time.Sleep(3 * patience) // nothing happens, so nothing tells: it would have been found three times
	if now := s.Children()[0]; now.PID != pid || now.State != ChildRunning || log.count(EventExited) != 0 {
		t.Errorf("the busy child:\n%v", s.Children())
	}
}
