package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-gipc/gipc/internal/proc"
)

var (
	errSupervisorStopped = errors.New("the supervisor was stopped")
	errOthersEnded       = errors.New("all children but daemons have ended")
	errEnded             = errors.New("the child has ended")
)

// loop is the inside of a Supervisor: one goroutine that owns all of its state. Everybody else sends it
// functions to run. It never blocks in anything else than receiving them, and lives as long as any child.
//
// Each incarnation of a child has a goroutine in the group too, which runs args, Spawn and watch and tells the loop. The
// group's cause is set by the first unrecovered failure, at once; the loop then stops what is left and ends.
type loop struct {
	opts     Options
	around   surroundings
	group    *errgroup.Group
	ctx      context.Context // the group's
	base     context.Context // of the incarnations, which are stopped in order: with the values of ctx, without its end
	outer    context.Context // the caller's
	requests chan func()
	ended    chan struct{} // closed at the end; then final is set
	final    ChildList

	// The fields below belong to the goroutine of run.
	reporter *reporter
	children []*child // in the order of their start
	waited   bool     // somebody waits for the end of all children
	stopping error    // why the supervisor ends; nil: it doesn't
	byOuter  bool     // it ends because the caller's ctx has
	failure  error    // the first that could not be mended
	killed   error    // why what is left is killed; nil: it isn't
	stubborn []error  // how the children ended that did not stop well
}

func newLoop(outer, ctx context.Context, group *errgroup.Group, o Options, around surroundings) *loop {
	return &loop{
		opts: o, around: around, group: group, outer: outer, ctx: ctx, base: context.WithoutCancel(outer),
		requests: make(chan func()), ended: make(chan struct{}), reporter: newReporter(o.OnEvent, o.Logger),
	}
}

// do runs f in the loop and waits for it, or returns false because the loop has ended.
func (l *loop) do(f func()) bool {
	done := make(chan struct{})
	select {
	case l.requests <- func() { f(); close(done) }:
		<-done
		return true
	case <-l.ended:
		return false
	}
}

// run is the loop. It returns nil if the supervisor was stopped, or had nothing left to do, and all children ended as
// they were asked.
func (l *loop) run() error {
	backoff := time.NewTimer(0)
	defer backoff.Stop()
	over, orphaned := l.ctx.Done(), l.around.orphaned
	for {
		l.advance(backoff)
		if l.stopping != nil && !slices.ContainsFunc(l.children, (*child).alive) {
			return l.finish()
		}
		var f func()
		select {
		case f = <-l.requests:
		case <-backoff.C:
			f = l.endBackoffs
		case <-over:
			over = nil
		case <-orphaned:
			orphaned = nil
			f = func() { l.end(proc.ErrParentGone) }
		}
		if l.ctx.Err() != nil { // this comes first: what happens at the same moment is part of the end
			l.byOuter = l.byOuter || l.stopping == nil && l.outer.Err() != nil
			l.end(context.Cause(l.ctx))
		}
		if f != nil {
			f()
		}
	}
}

// advance does what the children's states call for: it stops the last of those that are condemned, or starts those whose
// turn it is.
func (l *loop) advance(backoff *time.Timer) {
	if l.waited && l.stopping == nil && !slices.ContainsFunc(l.children, func(c *child) bool {
		return c.state != ChildEnded && !c.spec.spawn.Daemon
	}) {
		l.end(errOthersEnded)
	}
	if c := l.nextToStop(); c != nil {
		c.asked = true
		c.cancel(l.why())
		return
	}
	if l.stopping != nil {
		return
	}
	for i, c := range l.children {
		if c.state != ChildWaiting {
			continue
		}
		if !l.mayStart(l.children[:i]) { // nor is it the turn of those behind it
			break
		}
		l.start(c)
	}
	l.setBackoff(backoff)
}

// nextToStop returns the last of the condemned children. The daemons come after all others.
func (l *loop) nextToStop() (next *child) {
	for _, c := range slices.Backward(l.children) {
		if c.condemned && (next == nil || next.spec.spawn.Daemon && !c.spec.spawn.Daemon) {
			next = c
		}
	}
	return next
}

// why is the cause with which a child's ctx ends.
func (l *loop) why() error {
	if l.stopping != nil {
		return l.stopping
	}
	return errors.New("restarted together with another child")
}

// mayStart says whether it is the turn of a waiting child behind these, when none has to be stopped first.
func (l *loop) mayStart(before []*child) bool {
	switch l.opts.Strategy {
	case OneForOne: // independent of each other, but started in order the first time
		return !slices.ContainsFunc(before, func(b *child) bool {
			return !b.started && (b.state == ChildWaiting || b.state == ChildStarting)
		})
	case OneForAll:
		if slices.ContainsFunc(l.children, func(c *child) bool { return c.state == ChildBackingOff }) {
			return false
		}
	}
	return !slices.ContainsFunc(before, func(b *child) bool { return b.state != ChildRunning && b.state != ChildEnded })
}

func (l *loop) setBackoff(timer *time.Timer) {
	timer.Stop()
	var next time.Time
	for _, c := range l.children {
		if c.state == ChildBackingOff && (next.IsZero() || c.due.Before(next)) {
			next = c.due
		}
	}
	if !next.IsZero() {
		timer.Reset(time.Until(next))
	}
}

func (l *loop) endBackoffs() {
	now := time.Now()
	for _, c := range l.children {
		if c.state == ChildBackingOff && !c.due.After(now) {
			c.state = ChildWaiting
		}
	}
}

func (l *loop) add(specs []ChildSpec) error {
	if l.stopping != nil || l.ctx.Err() != nil {
		return ErrStopped
	}
	taken := map[string]bool{}
	for _, c := range l.children {
		taken[c.name] = true
	}
	for _, spec := range specs {
		name := spec.name
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s#%d", spec.name, n)
		}
		taken[name] = true
		l.serialize(&spec)
		l.children = append(l.children, &child{spec: spec, name: name, policy: l.opts.policy(l.around.random)})
	}
	return nil
}

// end begins the supervisor's end. The first reason counts.
func (l *loop) end(why error) {
	if l.stopping != nil {
		return
	}
	l.stopping = why
	for _, c := range slices.Clone(l.children) { // retire may remove some
		if c.alive() {
			l.condemn(c, false)
		} else if c.state != ChildEnded {
			l.retire(c)
		}
	}
}

// kill ends all that is left at once.
func (l *loop) kill(why error) {
	l.killed = why
	for _, c := range l.children {
		if c.alive() {
			c.asked = true
			c.cancel(why)
		}
		if c.running != nil {
			_ = c.running.KillCause(why)
		}
	}
}

// finish returns the loop's result when no child is left.
func (l *loop) finish() error {
	l.final = l.snapshot()
	close(l.ended)
	err := l.result()
	l.reporter.finish(Event{Kind: EventStopped, Err: err})
	return err
}

func (l *loop) result() error {
	switch {
	case l.failure != nil:
		return l.failure
	case l.byOuter:
		return wrap(l.outer, "wait", l.outer.Err())
	case l.stopping == proc.ErrParentGone:
		return failed("wait", proc.ErrParentGone)
	case len(l.stubborn) > 0:
		return failed("stop", errors.Join(l.stubborn...))
	}
	return nil
}

func (l *loop) report(c *child, e Event) {
	e.Child, e.Restarts = c.name, c.restarts
	if e.PID == 0 {
		e.PID = c.pid()
	}
	l.reporter.report(e)
}
