package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/unwind"
)

// start begins an incarnation.
func (l *loop) start(c *child) {
	ctx, cancel := context.WithCancelCause(l.base)
	c.state, c.cancel = ChildStarting, cancel
	l.report(c, Event{Kind: EventStarting})
	l.group.Go(func() error {
		running, err := l.spawn(ctx, c)
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
		err = w.run()
		l.do(func() { l.exited(c, err) })
		return nil
	})
}

var errGoexit = errors.New("args (or Spawn.Command) called runtime.Goexit")

// spawn starts the process of an incarnation. The user's code that it calls may end the goroutine by runtime.Goexit, as the Fatal
// of a test does. The loop has to hear of that, too.
func (l *loop) spawn(ctx context.Context, c *child) (incarnation, error) {
	defer func() {
		if goexits, panics := unwind.Reason(); goexits && !panics {
			l.do(func() { l.exited(c, fmt.Errorf("start of child %s: %w", c.name, errGoexit)) })
		}
	}()
	o := c.spec.spawn
	o.Name = c.name
	return c.spec.start(ctx, o)
}

func (l *loop) spawned(c *child, running incarnation) {
	c.running, c.started = running, true
	if l.killed != nil {
		_ = running.KillCause(l.killed)
	}
	if !c.spec.opts.WaitReady {
		l.ready(c)
	}
}

func (l *loop) ready(c *child) {
	c.state, c.since = ChildRunning, time.Now()
	l.report(c, Event{Kind: EventReady})
}

// exited is the end of an incarnation, or of the attempt to start one.
func (l *loop) exited(c *child, err error) {
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
		c.policy.Ran(ran)
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
func (l *loop) stopped(c *child, pid int, wasSpawned bool, err error) {
	kind := EventExited // it ended before its turn came
	if c.asked {
		kind = EventStopped
		var exit *gipc.ExitError
		if !wasSpawned || errors.As(err, &exit) && exit.Asked {
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
func (l *loop) recover(c *child, ran time.Duration, err error) {
	now := time.Now()
	delay, ok := c.policy.Next(now, ran)
	if !ok {
		l.giveUp(c, &GaveUpError{Child: c.name, Restarts: c.policy.Recent(), Window: l.opts.Window, Err: err})
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

func (l *loop) giveUp(c *child, failure error) {
	l.report(c, Event{Kind: EventGaveUp, Err: failure})
	l.retire(c)
	if l.failure == nil {
		l.failure = failure
		l.group.Go(func() error { return failure }) // makes it the group's cause
	}
	l.end(failure)
}

// condemn has a child that is alive stopped when its turn has come. The supervisor's end undoes a group's restart.
func (l *loop) condemn(c *child, again bool) {
	c.condemned, c.again = true, again
}

// maxEnded is how many children that have ended for good are remembered, for Children.
const maxEnded = 100

// retire is a child's end for good.
func (l *loop) retire(c *child) {
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
