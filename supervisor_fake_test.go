package gipc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// fakeChild stands for a process. It does what its plan says.
type fakeChild struct {
	pid     int
	done    chan struct{}
	err     error
	killed  chan error // receives reasons
	serving chan struct{}
	pong    chan struct{}
	asked   func()
}

func (f *fakeChild) PID() int                       { return f.pid }
func (f *fakeChild) Done() <-chan struct{}          { return f.done }
func (f *fakeChild) exitErr() error                 { return f.err }
func (f *fakeChild) reportedReady() <-chan struct{} { return f.serving }
func (f *fakeChild) pongs() <-chan struct{}         { return f.pong }
func (f *fakeChild) fail(reason error) {
	select {
	case f.killed <- reason:
	default:
	}
}

func (f *fakeChild) ping(time.Duration) {
	if f.asked != nil {
		f.asked()
	}
}

// plan says what the fakes of one name do, given how often they were started before.
type plan struct {
	start   func(ctx context.Context, n int) error // nil: succeeds
	run     func(ctx context.Context, n int, f *fakeChild) error
	options ChildOptions
}

// untilStopped runs until it is asked to stop, or killed.
func untilStopped(ctx context.Context, _ int, f *fakeChild) error {
	select {
	case <-ctx.Done():
		return nil
	case reason := <-f.killed:
		return &ExitError{Name: "fake", PID: f.pid, Code: -9, Err: reason}
	}
}

// stubborn ends only when it is killed.
func stubborn(_ context.Context, _ int, f *fakeChild) error {
	return &ExitError{Name: "fake", PID: f.pid, Code: -9, Err: <-f.killed}
}

var errCrash = errors.New("crash")

func crash(context.Context, int, *fakeChild) error { return errCrash }

// fakes keeps a journal of what happens to fake children.
type fakes struct {
	mu      sync.Mutex
	journal []string
	starts  map[string]int
	pids    int
	kids    map[string]*fakeChild
	changed chan struct{}
}

func newFakes() *fakes {
	return &fakes{starts: map[string]int{}, kids: map[string]*fakeChild{}, changed: make(chan struct{}, 1)}
}

func (s *fakes) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = append(s.journal, fmt.Sprintf(format, args...))
}

func (s *fakes) read() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.journal)
}

func (s *fakes) kid(name string) *fakeChild {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kids[name]
}

func (s *fakes) spec(name string, p plan) ChildSpec {
	if p.run == nil {
		p.run = untilStopped
	}
	spec := ChildSpec{name: name, opts: p.options}
	if p.options.Spawn != nil {
		spec.spawn = *p.options.Spawn
	}
	spec.start = func(ctx context.Context, name string) (incarnation, error) {
		s.mu.Lock()
		n := s.starts[name]
		s.starts[name]++
		s.pids++
		f := &fakeChild{
			pid: s.pids, done: make(chan struct{}), killed: make(chan error, 1),
			serving: make(chan struct{}), pong: make(chan struct{}, 1),
		}
		s.mu.Unlock()
		s.note("start %s", name)
		if p.start != nil {
			if err := p.start(ctx, n); err != nil {
				s.note("no start %s", name)
				return nil, err
			}
		}
		s.mu.Lock()
		s.kids[name] = f
		s.mu.Unlock()
		go func() {
			f.err = p.run(ctx, n, f)
			s.note("end %s", name)
			close(f.done)
		}()
		return f, nil
	}
	return spec
}

// recorder collects events.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// kinds returns the events as "kind child".
func (r *recorder) kinds() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		list = append(list, fmt.Sprintf("%v %s", e.Kind, e.Child))
	}
	return list
}

func wantList(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func noRandom() float64 { return 0 }

// fakeSupervisor is NewSupervisor without jitter and with nothing from outside of synctest's bubble.
func fakeSupervisor(ctx context.Context, o *SupervisorOptions) *Supervisor {
	return newSupervisor(ctx, o, surroundings{random: noRandom})
}
