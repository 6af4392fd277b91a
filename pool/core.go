package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/events"
)

// core is a pool that knows nothing of types: arguments and results are bytes. It locks, waits and wakes around sched, which
// decides.
type core struct {
	name    string
	opts    Options
	args    workerArgs // of each worker, but for its channel
	launch  func(ctx context.Context, args workerArgs) (child, error)
	replace chan struct{} // holds something while Replace runs

	mu sync.Mutex // guards what follows; unlock lets go of it
	sched
	events   *events.Queue[Event]
	waiters  []*waiter
	timer    *time.Timer   // runs settle when it is time to
	timerAt  time.Time     // zero: it does not run
	shut     chan struct{} // closed when the pool is closed
	allEnded chan struct{} // closed when the pool is closed and all workers have ended
}

// waiter is a call that waits for a state.
type waiter struct {
	reached func() bool
	wake    chan struct{} // closed when it is reached
}

func newCore(name string, opts Options, args workerArgs, once bool) *core {
	p := &core{name: name, opts: opts, args: args, replace: make(chan struct{}, 1), shut: make(chan struct{}), allEnded: make(chan struct{})}
	p.events = newEvents(&p.opts)
	p.sched = sched{opts: &p.opts, once: once, random: rand.Float64, hire: p.hire, report: p.reportEvent}
	p.backoff.SetDefaults(healthy)
	return p
}

// reportEvent completes an event of w and reports it. mu is held.
func (p *core) reportEvent(w *worker, e Event) {
	p.events.Report(func(dropped int) Event {
		e.Time, e.Task, e.PID, e.Tasks, e.Dropped = time.Now(), p.name, w.pid, w.tasks, dropped
		return e
	})
}

// unlock unlocks mu, after it has done what the state calls for: workers start and end, tasks are assigned, and who waits for
// the state is woken. So nobody who changes the state has to know who waits for it.
func (p *core) unlock() {
	now := time.Now()
	p.settle(now)
	p.setTimer(now)
	p.waiters = slices.DeleteFunc(p.waiters, func(w *waiter) bool {
		reached := w.reached()
		if reached {
			close(w.wake)
		}
		return reached
	})
	if p.state == closed {
		closeOnce(p.shut)
	}
	if p.finished() && closeOnce(p.allEnded) {
		if p.timer != nil {
			p.timer.Stop() // it holds the pool, for as long as MaxAge
		}
		p.events.Close() // no event follows
	}
	acts := p.acts
	p.acts = nil
	p.mu.Unlock()
	for _, act := range acts {
		act()
	}
}

// closeOnce closes c, unless it is closed. It is for one goroutine at a time.
func closeOnce(c chan struct{}) (first bool) {
	select {
	case <-c:
		return false
	default:
		close(c)
		return true
	}
}

// setTimer makes unlock run when there may be something to do. A timer that runs already and is early enough is left alone.
func (p *core) setTimer(now time.Time) {
	at := p.next(now)
	if at.IsZero() || !p.timerAt.IsZero() && !at.Before(p.timerAt) {
		return
	}
	p.timerAt = at
	if p.timer != nil {
		p.timer.Reset(at.Sub(now))
		return
	}
	p.timer = time.AfterFunc(at.Sub(now), func() {
		p.mu.Lock()
		p.timerAt = time.Time{}
		p.unlock()
	})
}

// wait waits, without mu, until reached holds or ctx ends. mu is held when it is called, and not when it returns.
func (p *core) wait(ctx context.Context, reached func() bool) error {
	if reached() {
		p.unlock()
		return nil
	}
	w := &waiter{reached, make(chan struct{})}
	p.waiters = append(p.waiters, w)
	p.unlock()
	select {
	case <-w.wake:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.waiters = slices.DeleteFunc(p.waiters, func(o *waiter) bool { return o == w })
	p.unlock()
	return endOf(ctx)
}

// enter takes a new call. Where there is no room for it, it waits, or fails.
func (p *core) enter(ctx context.Context, c *call, patient bool) error {
	if ctx.Err() != nil {
		return endOf(ctx)
	}
	for woken := false; ; woken = true {
		p.mu.Lock()
		err := p.admit(c, time.Now())
		var room chan struct{}
		if err == ErrQueueFull && patient {
			room = make(chan struct{})
			at := len(p.rooms)
			if woken {
				at = 0 // a Do was faster; others have waited for less long
			}
			p.rooms = slices.Insert(p.rooms, at, room)
		}
		p.unlock()
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			p.mu.Lock()
			if i := slices.Index(p.rooms, room); i >= 0 {
				p.rooms = slices.Delete(p.rooms, i, i+1)
			} else {
				p.letIn() // the room was for somebody else
			}
			p.unlock()
			return endOf(ctx)
		}
	}
}

// do runs a call that has entered and returns the worker's answer: a result or a failure. Info gets what is known of it. The
// errors are *ctxError, the pool's own and *WorkerError.
func (p *core) do(ctx context.Context, c *call, info *TaskInfo) (answer, error) {
	for {
		a, err := p.attempt(ctx, c, info)
		switch {
		case err == errAgain:
			continue
		case err == nil && a.exit != nil && info.Starts <= p.opts.Retries && p.retry(c):
			continue
		case err == nil && a.exit != nil:
			err = &WorkerError{Task: p.name, PID: a.pid, Starts: info.Starts, Exit: a.exit}
		}
		p.mu.Lock()
		p.over(c, err != nil || a.kind == kindFailure)
		p.stats.Waited, p.stats.Ran = p.stats.Waited+info.Waited, p.stats.Ran+info.Ran
		p.unlock()
		return a, err
	}
}

// retry puts a call whose worker has ended into the queue again. It returns false if no worker will come any more.
func (p *core) retry(c *call) bool {
	p.mu.Lock()
	defer p.unlock()
	if p.state == closed {
		return false
	}
	p.stats.Retried++
	p.enqueue(c, 0, time.Now())
	return true
}

// errEnded says that a worker has ended.
var errEnded = errors.New("it has ended")

// errAgain says that the call is in the queue again.
var errAgain = errors.New("again")

// attempt waits for a worker, sends the call's argument to it, and waits for the answer.
func (p *core) attempt(ctx context.Context, c *call, info *TaskInfo) (answer, error) {
	if !c.woken() {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return p.leaveWaiting(ctx, c)
		}
	}
	p.mu.Lock()
	a, w, began := c.answer, c.worker, c.assigned
	ended := !p.mayBeSent(c)
	p.mu.Unlock()
	if a.err != nil {
		info.Waited += time.Since(c.queued)
		return answer{}, a.err // it may have got a worker just before
	}
	info.Waited += began.Sub(c.queued)
	defer func() { info.Ran += time.Since(began) }()
	info.PID = w.pid

	run, cancel := p.limit(ctx)
	defer cancel()
	err := errEnded
	if !ended {
		err = p.send(run, c)
	}
	if err != nil {
		return p.unsentBy(ctx, run, c, err, info)
	}
	info.Starts++
	return p.answerFor(ctx, run, c)
}

// limit returns the ctx of one start of a task: ctx, with the Timeout.
func (p *core) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.opts.Timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, p.opts.Timeout, ErrTimeout)
}

// leaveWaiting ends a call whose ctx has ended before it was sent to a worker.
func (p *core) leaveWaiting(ctx context.Context, c *call) (answer, error) {
	p.mu.Lock()
	defer p.unlock()
	if !p.leaveQueue(c) && c.worker != nil {
		c.worker.tasks-- // it was assigned at this moment, and is not sent
		p.release(c, time.Now())
	}
	return answer{}, endOf(ctx)
}

// send sends a call's argument to its worker. An error with ErrPartial says that the worker will get it, nevertheless.
func (p *core) send(ctx context.Context, c *call) error {
	deadline, _ := ctx.Deadline()
	out := c.worker.channel
	if !c.large {
		putTaskHead(*c.message, kindTask, c.id, deadline)
		return out.Put(ctx, *c.message)
	}
	putTaskHead(*c.message, kindArg, c.id, deadline)
	if err := out.Put(ctx, *c.message); err != nil {
		return err
	}
	p.mu.Lock()
	if c.state == sending {
		c.state = running
	}
	p.mu.Unlock()
	if err := out.Put(ctx, head(kindRun, c.id)); err != nil {
		return fmt.Errorf("%w (%w)", err, gipc.ErrPartial)
	}
	return nil
}

// unsentBy ends a call, or puts it into the queue again, when send has failed.
func (p *core) unsentBy(ctx, run context.Context, c *call, err error, info *TaskInfo) (answer, error) {
	if run.Err() != nil {
		if errors.Is(err, gipc.ErrPartial) {
			return p.leaveRunning(ctx, c)
		}
		p.mu.Lock()
		if errors.Is(err, gipc.ErrPeerClosed) { // both at once
			p.brokeOff(c.worker, err, time.Now())
		}
		p.release(c, time.Now())
		p.unlock()
		_, _, err := reasonOf(ctx)
		return answer{}, err
	}
	p.mu.Lock()
	again := p.unsent(c, err, time.Now())
	p.unlock()
	if again {
		return answer{}, errAgain
	}
	info.Starts++
	return p.answerFor(ctx, run, c)
}

// await waits until a call that a worker has is answered, or freed if nobody waits for it any more. It returns false when ctx
// ends before that. One of those who wait for a worker takes what it says, for all of them: so most often the answer comes
// without a switch to another goroutine.
func (p *core) await(ctx context.Context, c *call) bool {
	receiving := c.worker.receiving
	for !c.woken() {
		if ctx.Err() != nil {
			return false
		}
		select {
		case receiving <- struct{}{}:
		default: // most often there is no need to wait for several things at once, which takes longer
			select {
			case <-c.wake:
				return true
			case receiving <- struct{}{}:
			case <-ctx.Done():
				return false
			}
		}
		if err := p.receiveFor(ctx, c); err != nil {
			receiving = nil // the worker's end is the answer
		}
		<-c.worker.receiving
	}
	return true
}

// answerFor returns what has become of a call that a worker has.
func (p *core) answerFor(ctx, run context.Context, c *call) (answer, error) {
	if !p.await(run, c) {
		return p.leaveRunning(ctx, c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.answer, c.answer.err
}

// reasonOf says why the ctx of a start has ended: err is what Do returns.
func reasonOf(ctx context.Context) (w why, cause, err error) {
	switch err := ctx.Err(); {
	case err == nil:
		return whyTimeout, ErrTimeout, ErrTimeout
	case errors.Is(err, context.DeadlineExceeded):
		return whyDeadline, context.Cause(ctx), endOf(ctx)
	default:
		return whyCanceled, context.Cause(ctx), endOf(ctx)
	}
}

// leaveRunning ends a call that a worker has. Its slot stays taken until the worker has answered.
func (p *core) leaveRunning(ctx context.Context, c *call) (answer, error) {
	p.mu.Lock()
	if c.state == answered {
		defer p.unlock()
		return c.answer, c.answer.err
	}
	p.abandon(c)
	p.unlock()
	w, cause, err := reasonOf(ctx)
	go p.cancelTask(c, w, cause)
	return answer{}, err
}

// cancelTask tells a worker that a task is cancelled, and ends the worker if it doesn't answer within the grace.
func (p *core) cancelTask(c *call, w why, cause error) {
	ctx, cancel := context.WithTimeout(context.Background(), p.opts.Grace)
	defer cancel()
	_ = c.worker.channel.Put(ctx, cancelMessage(c.id, w, cause)) // if it can't be told, its time runs all the same
	if p.await(ctx, c) {
		return
	}
	p.mu.Lock()
	p.overdue(c, fmt.Errorf("a cancelled task did not return within %v (%w)", p.opts.Grace, cause))
	p.unlock()
}

// hasEnded is called when a worker's process is gone.
func (p *core) hasEnded(w *worker, exit *gipc.ExitError, err error) {
	p.mu.Lock()
	p.ended(w, exit, err, time.Now())
	p.unlock()
}
