package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/restart"
)

// Options say how a Supervisor treats its children. The zero value, and nil, are good.
type Options struct {
	// Strategy says what is restarted together. The default is OneForOne.
	Strategy Strategy

	// MaxRestarts is how many restarts each child may have within Window. When a child fails once more, the Supervisor gives
	// up. Restarts for the sake of a sibling don't count. 0: 5. Negative: no restarts, the first failure is final.
	//
	// If Backoff is so long that MaxRestarts restarts never fit into Window, a failing child is restarted for ever.
	MaxRestarts int

	// Window is the time in which restarts are counted. 0: 30 s.
	Window time.Duration

	// Backoff is the wait before a restart.
	Backoff Backoff

	// OnEvent is called with each event, one at a time and in order, in a goroutine of its own. It can't hold up the
	// Supervisor: up to 1024 events wait for a slow OnEvent. Further ones are dropped and counted in Event.Dropped. All
	// events have been delivered when Wait returns, unless one call blocks for more than a second at the end.
	OnEvent func(Event)

	// Logger gets each event before OnEvent does. nil: none.
	Logger *slog.Logger
}

func (o *Options) resolve() error {
	b := &o.Backoff
	switch {
	case o.Strategy < OneForOne || o.Strategy > RestForOne:
		return fmt.Errorf("Strategy is %v", o.Strategy)
	case o.Window < 0 || b.Min < 0 || b.Max < 0 || b.Healthy < 0:
		return errors.New("a duration is negative")
	case b.Max != 0 && b.Min > b.Max:
		return fmt.Errorf("Backoff.Min is %v, above Max, %v", b.Min, b.Max)
	}
	if o.MaxRestarts == 0 {
		o.MaxRestarts = defaultMaxRestarts
	}
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	(*restart.Backoff)(b).SetDefaults(o.Window)
	return nil
}

// Supervisor keeps child processes running: it starts them in order, restarts those that fail, gives up when one fails
// too often, and stops them in reverse order. New makes it; the methods of the zero value panic. They may be called from any
// number of goroutines at once, and after the Supervisor has ended.
type Supervisor struct {
	loop *loop
	done chan struct{} // closed when the group has ended; then err is set
	err  error
}

// do runs f in the loop, as loop.do.
func (s *Supervisor) do(f func()) bool {
	if s.loop == nil {
		panic("gipc/supervisor: a Supervisor is made by New")
	}
	return s.loop.do(f)
}

// mustBeContext panics if ctx is nil, before the call has any effect.
func mustBeContext(ctx context.Context) {
	if ctx == nil {
		panic("gipc/supervisor: a call got a nil Context")
	}
}

// New returns a Supervisor without children. It holds a goroutine until it ends: by Stop, by the end of ctx, when it gives
// up on a child, or when Wait finds no child left.
//
// New panics if the options make no sense.
func New(ctx context.Context, opts *Options) *Supervisor {
	return newSupervisor(ctx, opts, surroundings{random: rand.Float64, orphaned: proc.Parent.Done()})
}

// What gipc has too, for Process.Stop and SpawnOptions.StartTimeout.
const (
	endingTime          = 4 * time.Second // how long a kill may take, before it counts as without effect
	defaultStartTimeout = 30 * time.Second
)

// surroundings are what a Supervisor depends on besides its arguments and the clock, which tests replace by synctest's.
type surroundings struct {
	random   func() float64  // in [0, 1)
	orphaned <-chan struct{} // closed when this process's parent is gone
}

func newSupervisor(ctx context.Context, opts *Options, around surroundings) *Supervisor {
	mustBeContext(ctx)
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := o.resolve(); err != nil {
		panic("gipc/supervisor: New: " + err.Error())
	}
	group, groupCtx := errgroup.WithContext(ctx)
	s := &Supervisor{done: make(chan struct{})}
	s.loop = newLoop(ctx, groupCtx, group, o, around)
	group.Go(s.loop.run)
	go func() {
		s.err = group.Wait()
		close(s.done)
	}()
	return s
}

// Start adds children behind those that were added before, and starts them in the given order. It doesn't wait until they
// run. A child that can't be started has failed, and is restarted like any other.
//
// Under OneForOne each child is started when Spawn has returned for those before it, whether they are ready or not. Under
// the other strategies each child is started when those before it are ready.
//
// If one of specs is invalid, nothing is started. The error matches ErrStopped if the Supervisor is stopping or has ended,
// and gipc.ErrNotInitialized if gipc.Init was not called.
func (s *Supervisor) Start(specs ...ChildSpec) error {
	if !proc.Initialized.Load() {
		return failed("start", gipc.ErrNotInitialized)
	}
	for _, spec := range specs {
		switch {
		case spec.err != nil:
			return failed("start", spec.err)
		case spec.start == nil:
			return failed("start", errors.New("a ChildSpec was not made by Child"))
		}
	}
	err := ErrStopped
	s.do(func() { err = s.loop.add(specs) })
	if err != nil {
		return failed("start", err)
	}
	return nil
}

// Stop ends the Supervisor. It stops the children one after the other, in reverse order of their start, daemons last. Each
// is stopped as by Process.Stop, and has its own gipc.SpawnOptions.Grace. When ctx ends, all that are left are killed. Stop
// works at any time, also while children are being started or wait for a restart. It may be called any number of times.
//
// Stop returns what Wait returns. If a child outlives even the kill, or a function for arguments doesn't return, Stop
// returns the ctx's error with the names of those children. The Supervisor then goes on stopping. So it does, without names, if
// the children have ended, and OnEvent takes long for what it has not been told yet.
func (s *Supervisor) Stop(ctx context.Context) error {
	mustBeContext(ctx)
	s.do(func() { s.loop.end(errSupervisorStopped) })
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
	}
	s.do(func() { s.loop.kill(fmt.Errorf("it did not stop in time (%w)", context.Cause(ctx))) })
	timer := time.NewTimer(endingTime)
	defer timer.Stop()
	select {
	case <-s.done:
		return s.err
	case <-timer.C:
	}
	if names := s.alive(); len(names) > 0 {
		return wrap(ctx, "stop", fmt.Errorf("%w; still there: %s", ctx.Err(), strings.Join(names, ", ")))
	}
	return wrap(ctx, "stop", fmt.Errorf("%w; all children have ended, but OnEvent or the Logger does not get on", ctx.Err()))
}

func (s *Supervisor) alive() (names []string) {
	for _, c := range s.Children() {
		if c.State != ChildEnded {
			names = append(names, c.Name)
		}
	}
	return names
}

// Wait waits until the Supervisor has ended: no process and no goroutine of it is left.
//
// Once Wait has been called, the Supervisor ends by itself when all children but the daemons have ended for good. It then
// stops the daemons. Without children it ends at once, so call Start before Wait. Otherwise Wait doesn't end the Supervisor.
//
// Wait returns the first of these:
//   - a *GaveUpError, if a child was restarted too often. The other children have been stopped;
//   - an error that matches the ctx's error and its cause, if the ctx of New ended first;
//   - an error with the *ExitError of each child that did not stop well;
//   - nil.
//
// A child stops well if, when asked to stop, it returns nil or its ctx's error within its grace. A child that fails by itself
// while the Supervisor is stopping, before it is asked, does not stop well. How Temporary children stop doesn't matter.
//
// Wait doesn't return the failures of Temporary children, nor a failure after which the child was restarted. They are in the
// events, and in ChildStatus.LastErr.
func (s *Supervisor) Wait() error {
	s.do(func() { s.loop.waited = true })
	<-s.done
	return s.err
}

// Children returns a snapshot of the children. Of those that have ended for good it has only the latest hundred.
func (s *Supervisor) Children() ChildList {
	var l ChildList
	if !s.do(func() { l = s.loop.snapshot() }) {
		l = append(l, s.loop.final...)
	}
	return l
}

// String names the Supervisor for messages and logs.
func (s *Supervisor) String() string { return "supervisor" }
