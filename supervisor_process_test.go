package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The Supervisor with real child processes.

// eventLog collects events and wakes those who wait for some.
type eventLog struct {
	mu      sync.Mutex
	events  []Event
	changed chan struct{} // closed and replaced at each event
}

func newEventLog() *eventLog { return &eventLog{changed: make(chan struct{})} }

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *eventLog) get() ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events), l.changed
}

// await waits until done says so of the events up to now.
func (l *eventLog) await(t testing.TB, what string, done func([]Event) bool) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		events, changed := l.get()
		if done(events) {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("waiting for: %s; there was %v", what, events)
		}
	}
}

// awaitKind waits until there were n events of a kind about a child, and returns the last of these.
func (l *eventLog) awaitKind(t testing.TB, kind EventKind, name string, n int) (found Event) {
	t.Helper()
	l.await(t, fmt.Sprintf("%d times %v of %s", n, kind, name), func(events []Event) bool {
		seen := 0
		for _, e := range events {
			if e.Kind == kind && e.Child == name {
				if seen++; seen == n {
					found = e
				}
			}
		}
		return seen >= n
	})
	return found
}

func (l *eventLog) count(kind EventKind) (n int) {
	events, _ := l.get()
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// superviseIt makes a supervisor that ends with the test.
func superviseIt(t testing.TB, o SupervisorOptions) (*Supervisor, *eventLog) {
	t.Helper()
	log := newEventLog()
	o.OnEvent = log.add
	s := NewSupervisor(context.Background(), &o)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Stop(ctx) // most have ended
	})
	return s, log
}

func sendSignal(t testing.TB, pid int, sig os.Signal) {
	t.Helper()
	p, err := os.FindProcess(pid)
	need(t, err)
	defer p.Release()
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

func deedChild(name, do string, o ChildOptions, spawn SpawnOptions) ChildSpec {
	spawn.Name = name
	o.Spawn = &spawn
	return Child(entryDeed, func(context.Context) (deedArgs, error) { return deedArgs{Do: do, N: 3}, nil }, &o)
}

// noMoreThan waits until a count that only falls now is at a limit.
func noMoreThan(t testing.TB, what string, limit int, count func() int) {
	t.Helper()
	late := time.After(10 * time.Second)
	for count() > limit {
		select {
		case <-time.After(time.Millisecond):
		case <-late:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d %s, want at most %d\n%s", count(), what, limit, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// dispatcher hands numbered jobs to whoever asks, and again those that were not acknowledged.
type dispatcher struct {
	mu     sync.Mutex
	next   int
	failed []int
	acked  map[int]int
	stop   bool
	open   int // handed out, neither acknowledged nor failed
}

// take returns a job, or false when there are no more.
func (d *dispatcher) take() (job int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.failed); n > 0 {
		job, d.failed = d.failed[n-1], d.failed[:n-1]
	} else if d.stop {
		return 0, false
	} else {
		job, d.next = d.next, d.next+1
	}
	d.open++
	return job, true
}

func (d *dispatcher) settle(job int, acked bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if acked {
		d.acked[job]++
	} else {
		d.failed = append(d.failed, job)
	}
}

// feed streams jobs to one incarnation until it is gone, or there are no more.
func (d *dispatcher) feed(ctx context.Context, worker *Duplex[int, int]) {
	defer worker.CloseNow()
	for ctx.Err() == nil {
		job, ok := d.take()
		if !ok {
			return
		}
		err := worker.Put(ctx, job)
		var got int
		if err == nil {
			got, err = worker.Get(ctx)
		}
		d.settle(job, err == nil && got == job)
		if err != nil {
			return
		}
	}
}

// Each of eight workers is killed at random while jobs stream through them. At the end every job is done, none was
// acknowledged twice, and nothing is left.
func TestSupervisedWorkersKilledAtRandom(t *testing.T) {
	duration := 20 * time.Second
	if testing.Short() {
		duration = 2 * time.Second
	}
	fds, goroutines := openDescriptors(t), runtime.NumGoroutine()
	const workers = 8
	d := &dispatcher{acked: map[int]int{}}
	var feeders sync.WaitGroup
	s, log := superviseIt(t, SupervisorOptions{
		MaxRestarts: math.MaxInt, Backoff: Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond},
	})
	for range workers {
		need(t, s.Start(Child(entryAck, func(ctx context.Context) (*Duplex[int, int], error) {
			mine, theirs, err := NewDuplex[int, int](nil, nil)
			if err == nil {
				feeders.Go(func() { d.feed(ctx, mine) })
			}
			return theirs, err
		}, &ChildOptions{Restart: Transient}))) // a worker without jobs ends well
	}

	killed := map[int]bool{}
	perName := map[string]int{}
	end := time.After(duration)
	for running := true; running; {
		if victims := slices.DeleteFunc(s.Children(), func(c ChildStatus) bool {
			return c.State != ChildRunning || killed[c.PID]
		}); len(victims) > 0 {
			victim := victims[rand.IntN(len(victims))]
			killed[victim.PID] = true
			perName[victim.Name]++
			sendSignal(t, victim.PID, os.Kill)
		}
		select {
		case <-time.After(rand.N(40 * time.Millisecond)):
		case <-end:
			running = len(perName) < workers // slow machines take longer to get at each
			end = time.After(duration)
		}
	}
	d.mu.Lock()
	d.stop = true
	d.mu.Unlock()
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	feeders.Wait()

	for job := range d.next {
		if d.acked[job] != 1 {
			t.Errorf("job %d was acknowledged %d times", job, d.acked[job])
		}
	}
	if len(d.failed) > 0 || d.open > 0 || len(perName) != workers {
		t.Errorf("%d jobs are left, %d open; killed: %v", len(d.failed), d.open, perName)
	}
	t.Logf("%d jobs, %d kills %v, %d restarts", d.next, len(killed), perName, log.count(EventRestarting))
	noMoreThan(t, "descriptors", fds, func() int { return openDescriptors(t) })
	noMoreThan(t, "goroutines", goroutines, runtime.NumGoroutine)
}

func TestSupervisedCrashAtOnceMeetsLimit(t *testing.T) {
	fds := openDescriptors(t)
	s, log := superviseIt(t, SupervisorOptions{MaxRestarts: 100, Window: time.Hour, Backoff: Backoff{Min: 1, Max: 1}})
	need(t, s.Start(deedChild("steady", "await ctx", ChildOptions{}, SpawnOptions{})))
	need(t, s.Start(deedChild("crasher", "stderr", ChildOptions{}, SpawnOptions{}))) // exits with code 3
	err := s.Wait()
	var gaveUp *GaveUpError
	var exit *ExitError
	if !errors.As(err, &gaveUp) || gaveUp.Child != "crasher" || gaveUp.Restarts != 100 || !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("Wait is %v", err)
	}
	if n := log.count(EventStarting); n != 102 {
		t.Errorf("%d starts", n)
	}
	if e := log.awaitKind(t, EventStopped, "steady", 1); e.Err != nil {
		t.Errorf("the other child was stopped: %v", e)
	}
	noMoreThan(t, "descriptors", fds, func() int { return openDescriptors(t) })
}

// A child that ignores its ctx is ended within its grace, and named; the others stop well, in order.
func TestSupervisedChildIgnoresCtx(t *testing.T) {
	s, log := superviseIt(t, SupervisorOptions{})
	need(t, s.Start(
		deedChild("first", "await ctx", ChildOptions{}, SpawnOptions{}),
		deedChild("mule", "ignore ctx", ChildOptions{}, SpawnOptions{Grace: 400 * time.Millisecond}),
		deedChild("last", "await ctx, well", ChildOptions{}, SpawnOptions{}),
	))
	for _, name := range []string{"first", "mule", "last"} {
		log.awaitKind(t, EventReady, name, 1)
	}
	began := time.Now()
	err := s.Stop(procCtx(t))
	if d := time.Since(began); d < 300*time.Millisecond || d > 10*time.Second {
		t.Errorf("Stop took %v", d)
	}
	var exit *ExitError
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
	s, log := superviseIt(t, SupervisorOptions{})
	for i := range 4 {
		name := fmt.Sprint("mule", i)
		need(t, s.Start(deedChild(name, "ignore ctx", ChildOptions{}, SpawnOptions{Grace: time.Hour})))
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

// Each incarnation gets arguments of its own, and a ctx that ends with it and tells why.
func TestSupervisedFreshArguments(t *testing.T) {
	s, log := superviseIt(t, SupervisorOptions{Backoff: Backoff{Min: 1, Max: 1}})
	type life struct {
		ctx  context.Context
		say  *Writer[string]
		hear *Reader[string]
	}
	lives := make(chan life, 10)
	need(t, s.Start(Child(entryDeed, func(ctx context.Context) (deedArgs, error) {
		r, w := stringPipe(t)
		heard, up := stringPipe(t)
		lives <- life{ctx, w, heard}
		return deedArgs{Do: "await order", In: r, Out: up}, nil
	}, nil)))
	ctx := procCtx(t)
	for i := range 3 {
		l := <-lives
		if got := get(t, ctx, l.hear); got != "up" {
			t.Fatal(got)
		}
		if l.ctx.Err() != nil {
			t.Error("the ctx has ended before the child")
		}
		need(t, l.say.Put(ctx, "panic"))
		e := log.awaitKind(t, EventExited, "deed", i+1)
		<-l.ctx.Done()
		var exit *ExitError
		if !errors.As(context.Cause(l.ctx), &exit) || exit.Panic != "boom" || e.Err != error(exit) {
			t.Errorf("the cause is %v, the event %v", context.Cause(l.ctx), e)
		}
	}
	l := <-lives
	_ = get(t, ctx, l.hear)
	need(t, s.Stop(ctx))
	if !errors.Is(context.Cause(l.ctx), errSupervisorStopped) {
		t.Errorf("the last cause is %v", context.Cause(l.ctx))
	}
}

// A start that fails is a failure like any other, and leaves no end open.
func TestSupervisedStartFails(t *testing.T) {
	fds := openDescriptors(t)
	why := errors.New("no input")
	s, log := superviseIt(t, SupervisorOptions{MaxRestarts: 2, Backoff: Backoff{Min: 1, Max: 1}})
	need(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) { return deedArgs{}, why }, nil)))
	if err := s.Wait(); !errors.Is(err, why) || log.count(EventStarting) != 3 || log.count(EventReady) != 0 {
		t.Errorf("Wait is %v after %d starts", err, log.count(EventStarting))
	}

	s, log = superviseIt(t, SupervisorOptions{MaxRestarts: 2, Backoff: Backoff{Min: 1, Max: 1}})
	var mine []*Duplex[string, string]
	need(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		here, there, err := NewDuplex[string, string](nil, nil)
		mine = append(mine, here)
		_, rest, err2 := os.Pipe()
		return deedArgs{Talk: there, File: rest}, errors.Join(err, err2)
	}, &ChildOptions{Spawn: &SpawnOptions{Dir: filepath.Join(t.TempDir(), "missing")}})))
	var noDir *os.PathError
	if err := s.Wait(); !errors.As(err, &noDir) || log.count(EventStarting) != 3 {
		t.Errorf("Wait is %v after %d starts", err, log.count(EventStarting))
	}
	for _, d := range mine {
		if _, err := d.Get(procCtx(t)); err != io.EOF {
			t.Errorf("the other end of what was not handed over: %v", err)
		}
		need(t, d.CloseNow())
	}
	runtime.GC() // the reading ends of os.Pipe above
	noMoreThan(t, "descriptors", fds, func() int { runtime.GC(); return openDescriptors(t) })
}

// All ends are closed, wherever they are, also in arguments that can't be handed over.
func TestSupervisorClosesTheEndsOfArgumentsThatCantMove(t *testing.T) {
	ctx := procCtx(t)
	s, _ := superviseIt(t, SupervisorOptions{MaxRestarts: 1, Backoff: Backoff{Min: 1, Max: 1}})
	kept, keptW, err := os.Pipe()
	need(t, err)
	defer kept.Close()
	var peers []*Reader[string]
	need(t, s.Start(Child(entryCargo, func(context.Context) (cargo, error) {
		var c cargo
		inside := map[string]any{"itself": &c.Any, "not ours": kept}
		for _, place := range []func(*Writer[string]){
			func(w *Writer[string]) { c.W = w },
			func(w *Writer[string]) { inside["end"] = []any{w} },
			func(w *Writer[string]) { c.ByFloat = map[float64]*Writer[string]{1: w} },
			func(w *Writer[string]) { c.Odd = w },
		} {
			r, w, err := Pipe[string](nil)
			if err != nil {
				return c, err
			}
			peers = append(peers, r)
			place(w)
		}
		c.Any = inside
		return c, nil
	}, nil)))
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "in an interface") && !strings.Contains(err.Error(), "contain themselves") {
		t.Errorf("Wait is %v", err)
	}
	checkEqual(t, len(peers), 8)
	need(t, keptW.Close())
	if _, err := kept.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a file in an interface: %v", err)
	}
	for _, r := range peers {
		if _, err := r.Get(ctx); err != io.EOF {
			t.Errorf("the other end of what was not handed over: %v", err)
		}
		need(t, r.Close())
	}
}

func TestSupervisedReady(t *testing.T) {
	s, log := superviseIt(t, SupervisorOptions{Strategy: RestForOne})
	tells := make(chan *Writer[string], 10)
	need(t, s.Start(
		Child(entryDeed, func(context.Context) (deedArgs, error) {
			r, w := stringPipe(t)
			tells <- w
			return deedArgs{Do: "ready when told", In: r}, nil
		}, &ChildOptions{WaitReady: true, Spawn: &SpawnOptions{Name: "db"}}),
		deedChild("app", "await ctx", ChildOptions{}, SpawnOptions{}),
	))
	ctx := procCtx(t)
	for i := range 2 {
		tell := <-tells
		if l := s.Children(); l[0].State != ChildStarting || l[1].State == ChildRunning || l[1].State == ChildStarting {
			t.Errorf("before it is ready:\n%v", l)
		}
		need(t, tell.Put(ctx, "go"))
		pid := log.awaitKind(t, EventReady, "db", i+1).PID
		log.awaitKind(t, EventReady, "app", i+1)
		if i == 0 {
			sendSignal(t, pid, os.Kill)
		}
	}
	need(t, s.Stop(ctx))
}

func TestSupervisedNeverReady(t *testing.T) {
	t.Parallel() // most of it is waiting
	s, _ := superviseIt(t, SupervisorOptions{MaxRestarts: -1})
	o := ChildOptions{WaitReady: true}
	need(t, s.Start(deedChild("dreamer", "await ctx", o, SpawnOptions{StartTimeout: 3 * time.Second})))
	err := s.Wait()
	var exit *ExitError
	if !errors.Is(err, ErrNotReady) || !errors.As(err, &exit) || exit.Name != "dreamer" {
		t.Errorf("Wait is %v", err)
	}
}

// Daemons serve until the others have ended.
func TestSupervisedDaemon(t *testing.T) {
	s, log := superviseIt(t, SupervisorOptions{})
	order := make(chan *Writer[string], 1)
	need(t, s.Start(
		deedChild("daemon", "await ctx", ChildOptions{}, SpawnOptions{Daemon: true}),
		Child(entryDeed, func(context.Context) (deedArgs, error) {
			r, w := stringPipe(t)
			order <- w
			return deedArgs{Do: "await order", In: r}, nil
		}, &ChildOptions{Restart: Transient}),
	))
	waited := make(chan error, 1)
	go func() { waited <- s.Wait() }()
	log.awaitKind(t, EventReady, "daemon", 1)
	need(t, (<-order).Put(procCtx(t), "nil"))
	need(t, <-waited)
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
	s, _ := superviseIt(t, SupervisorOptions{})
	release := make(chan struct{})
	defer close(release)
	begun := make(chan struct{}, 1)
	blocks := writerFunc(func(p []byte) (int, error) { begun <- struct{}{}; <-release; return len(p), nil })
	need(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		return deedArgs{Do: "stderr and wait", Text: "x"}, nil
	}, &ChildOptions{Spawn: &SpawnOptions{Stderr: blocks}})))
	<-begun
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Stop(ended)
	var e *ExitError
	if !errors.As(err, &e) || strings.Contains(err.Error(), "still there") {
		t.Error(err)
	}
}
