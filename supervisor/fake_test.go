package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
)

// minBackoff is the default of Backoff.Min.
const minBackoff = 100 * time.Millisecond

// fakeChild stands for a process. It does what its plan says.
type fakeChild struct {
	pid     int
	done    chan struct{} // closed at its end; then err is set
	err     error
	killed  chan error    // receives reasons
	serving chan struct{} // closed when it is ready
	pong    chan struct{} // receives answers to Ping
	asked   func()        // called by Ping
}

var _ incarnation = (*fakeChild)(nil)

func (f *fakeChild) PID() int              { return f.pid }
func (f *fakeChild) Done() <-chan struct{} { return f.done }

func (f *fakeChild) Wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fakeChild) KillCause(cause error) error {
	select {
	case <-f.done:
		return os.ErrProcessDone
	default:
		f.fail(cause)
		return nil
	}
}

// fail makes it end, as a kill or a crash does. The first reason counts.
func (f *fakeChild) fail(reason error) {
	select {
	case f.killed <- reason:
	default:
	}
}

func (f *fakeChild) WaitReady(ctx context.Context) error {
	select {
	case <-f.serving:
		return nil
	case <-f.done:
		return cmp.Or(f.err, gipc.ErrNotReady)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fakeChild) Ping(ctx context.Context) error {
	if f.asked != nil {
		f.asked()
	}
	select {
	case <-f.pong:
		return nil
	case <-f.done:
		return cmp.Or(f.err, os.ErrProcessDone)
	case <-ctx.Done():
		return ctx.Err()
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
		return &gipc.ExitError{Name: "fake", PID: f.pid, Code: -9, Err: reason}
	}
}

// stubborn ends only when it is killed.
func stubborn(_ context.Context, _ int, f *fakeChild) error {
	return &gipc.ExitError{Name: "fake", PID: f.pid, Code: -9, Err: <-f.killed}
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
}

func newFakes() *fakes {
	return &fakes{starts: map[string]int{}, kids: map[string]*fakeChild{}}
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
	spec.start = func(ctx context.Context, o gipc.SpawnOptions) (incarnation, error) {
		name := o.Name
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

func wantList(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func noRandom() float64 { return 0 }

// fakeSupervisor is New, without jitter and with nothing from outside of synctest's bubble.
func fakeSupervisor(ctx context.Context, o *Options) *Supervisor {
	return newSupervisor(ctx, o, surroundings{random: noRandom})
}
