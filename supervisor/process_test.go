package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// The Supervisor with real child processes.

func TestSupervisedCrashAtOnceMeetsLimit(t *testing.T) {
	fds := test.OpenDescriptors(t)
	s, log := superviseIt(t, Options{MaxRestarts: 100, Window: time.Hour, Backoff: Backoff{Min: 1, Max: 1}})
	test.Check(t, s.Start(deedChild("steady", "await ctx", ChildOptions{}, gipc.SpawnOptions{})))
	test.Check(t, s.Start(deedChild("crasher", "exit", ChildOptions{}, gipc.SpawnOptions{}))) // exits with code 3
	err := s.Wait()
	var gaveUp *GaveUpError
	var exit *gipc.ExitError
	if !errors.As(err, &gaveUp) || gaveUp.Child != "crasher" || gaveUp.Restarts != 100 || !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("Wait is %v", err)
	}
	if n := log.count(EventStarting); n != 102 {
		t.Errorf("%d starts", n)
	}
	if e := log.awaitKind(t, EventStopped, "steady", 1); e.Err != nil {
		t.Errorf("the other child was stopped: %v", e)
	}
	noMoreThan(t, "descriptors", fds, func() int { return test.OpenDescriptors(t) })
}

// A child that ignores its ctx is ended within its grace, and named; the others stop well, in order.
func TestSupervisedChildIgnoresCtx(t *testing.T) {
	s, log := superviseIt(t, Options{})
	test.Check(t, s.Start(
		deedChild("first", "await ctx", ChildOptions{}, gipc.SpawnOptions{}),
		deedChild("mule", "ignore ctx", ChildOptions{}, gipc.SpawnOptions{Grace: 400 * time.Millisecond}),
		deedChild("last", "await ctx, well", ChildOptions{}, gipc.SpawnOptions{}),
	))
	for _, name := range []string{"first", "mule", "last"} {
		log.awaitKind(t, EventReady, name, 1)
	}
	began := time.Now()
	err := s.Stop(test.Context(t))
	if d := time.Since(began); d < 300*time.Millisecond || d > 10*time.Second {
		t.Errorf("Stop took %v", d)
	}
	var exit *gipc.ExitError
	if !errors.As(err, &exit) || exit.Name != "mule" || !strings.Contains(err.Error(), "mule") ||
		strings.Contains(err.Error(), "first") || strings.Contains(err.Error(), "last") {
		t.Errorf("Stop is %v", err)
	}
	var stops []string
	events, _ := log.get()
	for _, e := range events {
		if e.Kind == EventStopped {
			stops = append(stops, e.Child)
		}
	}
	wantList(t, stops, "last", "mule", "first", "")
}

// When Stop's ctx ends, what is left is killed at once, without its grace.
func TestSupervisedStopWithoutPatience(t *testing.T) {
	s, log := superviseIt(t, Options{})
	for i := range 4 {
		name := fmt.Sprint("mule", i)
		test.Check(t, s.Start(deedChild(name, "ignore ctx", ChildOptions{}, gipc.SpawnOptions{Grace: time.Hour})))
		log.awaitKind(t, EventReady, name, 1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := s.Stop(ctx)
	for i := range 4 {
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint("mule", i)) {
			t.Errorf("Stop is %v", err)
		}
	}
	if again := s.Wait(); again != err {
		t.Errorf("Wait is %v", again)
	}
}

func TestSupervisedReady(t *testing.T) {
	s, log := superviseIt(t, Options{Strategy: RestForOne})
	tells := make(chan *gipc.Writer[string], 10)
	test.Check(t, s.Start(
		Child(entryDeed, func(context.Context) (deedArgs, error) {
			r, w := stringPipe(t)
			tells <- w
			return deedArgs{Do: "ready when told", In: r}, nil
		}, &ChildOptions{WaitReady: true, Spawn: &gipc.SpawnOptions{Name: "db"}}),
		deedChild("app", "await ctx", ChildOptions{}, gipc.SpawnOptions{}),
	))
	ctx := test.Context(t)
	for i := range 2 {
		tell := <-tells
		if l := s.Children(); l[0].State != ChildStarting || l[1].State == ChildRunning || l[1].State == ChildStarting {
			t.Errorf("before it is ready:\n%v", l)
		}
		test.Check(t, tell.Put(ctx, "go"))
		pid := log.awaitKind(t, EventReady, "db", i+1).PID
		log.awaitKind(t, EventReady, "app", i+1)
		if i == 0 {
			sendSignal(t, pid, os.Kill)
		}
	}
	test.Check(t, s.Stop(ctx))
}

func TestSupervisedNeverReady(t *testing.T) {
	t.Parallel() // most of it is waiting
	s, _ := superviseIt(t, Options{MaxRestarts: -1})
	o := ChildOptions{WaitReady: true}
	test.Check(t, s.Start(deedChild("dreamer", "await ctx", o, gipc.SpawnOptions{StartTimeout: 3 * time.Second})))
	err := s.Wait()
	var exit *gipc.ExitError
	if !errors.Is(err, gipc.ErrNotReady) || !errors.As(err, &exit) || exit.Name != "dreamer" {
		t.Errorf("Wait is %v", err)
	}
}

// Daemons serve until the others have ended.
func TestSupervisedDaemon(t *testing.T) {
	s, log := superviseIt(t, Options{})
	order := make(chan *gipc.Writer[string], 1)
	test.Check(t, s.Start(
		deedChild("daemon", "await ctx", ChildOptions{}, gipc.SpawnOptions{Daemon: true}),
		Child(entryDeed, func(context.Context) (deedArgs, error) {
			r, w := stringPipe(t)
			order <- w
			return deedArgs{Do: "await order", In: r}, nil
		}, &ChildOptions{Restart: Transient}),
	))
	waited := make(chan error, 1)
	go func() { waited <- s.Wait() }()
	log.awaitKind(t, EventReady, "daemon", 1)
	test.Check(t, (<-order).Put(test.Context(t), "nil"))
	test.Check(t, <-waited)
	var ends []string
	events, _ := log.get()
	for _, e := range events {
		if e.Kind == EventExited || e.Kind == EventStopped {
			ends = append(ends, fmt.Sprint(e.Kind, " ", e.Child))
		}
	}
	wantList(t, ends, "exited deed", "stopped daemon", "stopped ")
}

// Stop waits for children that it kills as long as a Process may take to end.
func TestSupervisorStopWaitsForTheOutputOfKilledChildren(t *testing.T) {
	t.Parallel() // most of it is waiting
	s, _ := superviseIt(t, Options{})
	release := make(chan struct{})
	defer close(release)
	begun := make(chan struct{}, 1)
	blocks := writerFunc(func(p []byte) (int, error) { begun <- struct{}{}; <-release; return len(p), nil })
	test.Check(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		return deedArgs{Do: "stderr and wait", Text: "x"}, nil
	}, &ChildOptions{Spawn: &gipc.SpawnOptions{Stderr: blocks}})))
	<-begun
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Stop(ended)
	var e *gipc.ExitError
	if !errors.As(err, &e) || strings.Contains(err.Error(), "still there") {
		t.Error(err)
	}
}
