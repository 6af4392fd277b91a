package gipc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	errSupervisorStopped = errors.New("the supervisor was stopped")
	errOthersEnded       = errors.New("all children but daemons have ended")
	errEnded             = errors.New("the child has ended")
)

// superviseLoop is the inside of a Supervisor: one goroutine that owns all of its state. Everybody else sends it
// functions to run. It never blocks in anything else than receiving them, and lives as long as any child.
//
// Each incarnation of a child has a goroutine in the group too, which runs args, Spawn and watch and tells the loop. The
// group's cause is set by the first unrecovered failure, at once; the loop then stops what is left and ends.
type superviseLoop struct {
	opts     SupervisorOptions
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
	failure  error    // the first that could not be mended
	killed   error    // why what is left is killed; nil: it isn't
	stubborn []error  // how the children ended that did not stop well
}

func newSuperviseLoop(outer, ctx context.Context, group *errgroup.Group, o SupervisorOptions, around surroundings) *superviseLoop {
	return &superviseLoop{
		opts: o, around: around, group: group, outer: outer, ctx: ctx, base: context.WithoutCancel(outer),
		requests: make(chan func()), ended: make(chan struct{}), reporter: newReporter(o.OnEvent, o.Logger),
	}
}

// do runs f in the loop and waits for it, or returns false because the loop has ended.
func (l *superviseLoop) do(f func()) bool {
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
func (l *superviseLoop) run() error {
	backoff := time.NewTimer(0)
	defer backoff.Stop()
	over, orphaned := l.ctx.Done(), l.around.orphaned
	for {
		l.advance(backoff)
		if l.stopping != nil && !slices.ContainsFunc(l.children, (*child).alive) {
			return l.finish()
		}
		select {
		case f := <-l.requests:
			f()
		case <-backoff.C:
			l.endBackoffs()
		case <-over:
			l.end(context.Cause(l.ctx))
			over = nil
		case <-orphaned:
			l.end(errParentGone)
			orphaned = nil
		}
	}
}

// advance does what the children's states call for: it stops the last of those that are condemned, or starts those whose
// turn it is.
func (l *superviseLoop) advance(backoff *time.Timer) {
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
func (l *superviseLoop) nextToStop() (next *child) {
	for _, c := range slices.Backward(l.children) {
		if c.condemned && (next == nil || next.spec.spawn.Daemon && !c.spec.spawn.Daemon) {
			next = c
		}
	}
	return next
}

// why is the cause with which a child's ctx ends.
func (l *superviseLoop) why() error {
	if l.stopping != nil {
		return l.stopping
	}
	return errors.New("restarted together with another child")
}

// mayStart says whether it is the turn of a waiting child behind these, when none has to be stopped first.
func (l *superviseLoop) mayStart(before []*child) bool {
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

func (l *superviseLoop) setBackoff(timer *time.Timer) {
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

func (l *superviseLoop) endBackoffs() {
	now := time.Now()
	for _, c := range l.children {
		if c.state == ChildBackingOff && !c.due.After(now) {
			c.state = ChildWaiting
		}
	}
}

func (l *superviseLoop) add(specs []ChildSpec) error {
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
		l.children = append(l.children, &child{spec: spec, name: name, policy: restartPolicy{
			limit: l.opts.MaxRestarts, window: l.opts.Window, backoff: l.opts.Backoff, random: l.around.random,
		}})
	}
	return nil
}

// start begins an incarnation.
func (l *superviseLoop) start(c *child) {
	ctx, cancel := context.WithCancelCause(l.base)
	c.state, c.cancel = ChildStarting, cancel
	l.report(c, Event{Kind: EventStarting})
	l.group.Go(func() error {
		running, err := c.spec.start(ctx, c.name)
		if err != nil {
			l.do(func() { l.exited(c, err) })
			return nil
		}
		l.do(func() { l.spawned(c, running) })
		w := watch{child: running, liveness: c.spec.opts.Liveness}
		if c.spec.opts.WaitReady {
			w.ready = func() { l.do(func() { l.ready(c) }) }
			w.wait = c.spec.spawn.StartTimeout
			if w.wait <= 0 {
				w.wait = defaultStartTimeout
			}
		}
		w.run()
		l.do(func() { l.exited(c, running.exitErr()) })
		return nil
	})
}

func (l *superviseLoop) spawned(c *child, running incarnation) {
	c.running, c.started = running, true
	if l.killed != nil {
		running.fail(l.killed)
	}
	if !c.spec.opts.WaitReady {
		l.ready(c)
	}
}

func (l *superviseLoop) ready(c *child) {
	c.state, c.since = ChildRunning, time.Now()
	l.report(c, Event{Kind: EventReady})
}

// exited is the end of an incarnation, or of the attempt to start one.
func (l *superviseLoop) exited(c *child, err error) {
	var ran time.Duration
	if !c.since.IsZero() {
		ran = time.Since(c.since)
	}
	wasSpawned := c.running != nil
	pid := c.pid()
	c.running, c.started, c.since = nil, true, time.Time{}
	if err != nil {
		c.cancel(err)
	} else {
		c.cancel(errEnded)
	}
	if c.condemned {
		l.stopped(c, pid, wasSpawned, err)
		return
	}
	if err != nil {
		c.lastErr = err
	}
	l.report(c, Event{Kind: EventExited, PID: pid, Err: err})
	if !c.spec.opts.Restart.restarts(err) {
		l.retire(c)
		return
	}
	l.recover(c, ran, err)
}

// stopped is the end of an incarnation that had to be stopped.
func (l *superviseLoop) stopped(c *child, pid int, wasSpawned bool, err error) {
	kind := EventExited // it ended before its turn came
	if c.asked {
		kind = EventStopped
		var exit *ExitError
		if !wasSpawned || errors.As(err, &exit) && exit.asAsked() {
			err = nil // a start that was given up is no failure
		}
	}
	if err != nil {
		c.lastErr = err
		if l.stopping != nil && wasSpawned && c.spec.opts.Restart != Temporary {
			l.stubborn = append(l.stubborn, err)
		}
	}
	l.report(c, Event{Kind: kind, PID: pid, Err: err})
	again := c.again && (c.asked || c.spec.opts.Restart.restarts(err))
	c.condemned, c.asked = false, false
	if again {
		c.state = ChildWaiting
		return
	}
	l.retire(c)
}

// recover restarts a child that has ended, and with it those that the strategy asks for, or gives up.
func (l *superviseLoop) recover(c *child, ran time.Duration, err error) {
	now := time.Now()
	delay, ok := c.policy.next(now, ran)
	if !ok {
		l.giveUp(c, &GaveUpError{Child: c.name, Restarts: len(c.policy.recent), Window: l.opts.Window, Err: err})
		return
	}
	c.state, c.due = ChildBackingOff, now.Add(delay)
	c.restarts++
	l.report(c, Event{Kind: EventRestarting, Delay: delay, Err: err})
	at := slices.Index(l.children, c)
	for i, sibling := range l.children {
		affected := l.opts.Strategy == OneForAll || l.opts.Strategy == RestForOne && i > at
		if affected && sibling.alive() {
			l.condemn(sibling, sibling.spec.opts.Restart != Temporary)
		}
	}
}

func (l *superviseLoop) giveUp(c *child, failure error) {
	l.report(c, Event{Kind: EventGaveUp, Err: failure})
	l.retire(c)
	if l.failure == nil {
		l.failure = failure
		l.group.Go(func() error { return failure }) // makes it the group's cause
	}
	l.end(failure)
}

// condemn has a child that is alive stopped when its turn has come. The supervisor's end undoes a group's restart.
func (l *superviseLoop) condemn(c *child, again bool) {
	c.condemned, c.again = true, again
}

// maxEnded is how many children that have ended for good are remembered, for Children.
const maxEnded = 100

// retire is a child's end for good.
func (l *superviseLoop) retire(c *child) {
	c.state = ChildEnded
	c.spec.start = nil // lets go of what args refers to
	ended := 0
	for _, c := range l.children {
		if c.state == ChildEnded {
			ended++
		}
	}
	if ended <= maxEnded {
		return
	}
	oldest := slices.IndexFunc(l.children, func(c *child) bool { return c.state == ChildEnded })
	l.children = slices.Delete(l.children, oldest, oldest+1)
}

// end begins the supervisor's end. The first reason counts.
func (l *superviseLoop) end(why error) {
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
func (l *superviseLoop) kill(why error) {
	l.killed = why
	for _, c := range l.children {
		if c.alive() {
			c.asked = true
			c.cancel(why)
		}
		if c.running != nil {
			c.running.fail(why)
		}
	}
}

// finish returns the loop's result when no child is left.
func (l *superviseLoop) finish() error {
	l.final = l.snapshot()
	close(l.ended)
	err := l.result()
	l.reporter.finish(Event{Kind: EventStopped, Err: err})
	return err
}

func (l *superviseLoop) result() error {
	switch {
	case l.failure != nil:
		return l.failure
	case l.stopping == errSupervisorStopped || l.stopping == errOthersEnded:
		if len(l.stubborn) == 0 {
			return nil
		}
		return &Error{"stop", "supervisor", errors.Join(l.stubborn...)}
	case l.stopping == errParentGone:
		return &Error{"wait", "supervisor", errParentGone}
	}
	return wrapError(l.outer, "wait", named("supervisor"), l.outer.Err())
}

func (l *superviseLoop) report(c *child, e Event) {
	e.Child, e.Restarts = c.name, c.restarts
	if e.PID == 0 {
		e.PID = c.pid()
	}
	l.reporter.report(e)
}
