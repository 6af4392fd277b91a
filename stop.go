package gipc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Stop ends the child and waits for its end. It asks the child over the control channel, and the entrypoint's ctx ends. If
// the child is still there after three quarters of SpawnOptions.Grace, Stop terminates it as Terminate does. At the end of
// the grace, or when ctx ends, it kills the child as Kill does. If it had to do either, what the child has started and left
// in its process group ends with it. Another Stop joins the first.
//
// If ctx has ended already, Stop kills at once, without asking. So give it another ctx behind <-ctx.Done(), such as
// context.WithoutCancel(ctx). The grace bounds Stop without any ctx.
//
// Stop returns nil if the child ended as it was asked: with nil, or with its ctx's error. Otherwise it returns what Wait
// returns. In the unlikely case that even a kill doesn't end the child, it returns the ctx's error.
func (p *Process) Stop(ctx context.Context) error {
	p.mustBeSpawned()
	mustBeContext(ctx)
	p.beginStop(errAskedToStop)
	select {
	case <-p.done:
	case <-ctx.Done():
		p.setReason(fmt.Errorf("it did not stop in time (%w)", context.Cause(ctx)))
		_ = p.child.Kill() // it may have ended meanwhile
		if !p.endsSoon() {
			return wrapError(ctx, "stop", p, ctx.Err())
		}
	}
	var exit *ExitError
	if errors.As(p.err, &exit) && exit.Asked {
		return nil
	}
	return p.err
}

var errAskedToStop = errors.New("asked to stop")

// beginStop stops the child for that reason, in the group, unless it has ended or is being stopped.
func (p *Process) beginStop(reason error) {
	p.stopping.Do(func() {
		p.child.Unreaped(func() { // so long the group has not ended
			p.group.Go(func() error {
				p.stopFor(reason)
				return nil
			})
		})
	})
}

// stopWith stops the child when ctx ends. The function that it returns lets go of ctx.
func (p *Process) stopWith(ctx context.Context) (letGo func() bool) {
	return context.AfterFunc(ctx, func() { p.beginStop(context.Cause(ctx)) })
}

// stopFor stops the child: first it asks, then it terminates, then it kills. It returns when the child is reaped, or is killed.
func (p *Process) stopFor(reason error) {
	select {
	case <-p.told: // else the child would take the order for what begin tells it
	case <-p.child.Exited():
		return
	}
	began := time.Now()
	patience := p.grace / 4 * 3
	sendCtx, cancel := context.WithTimeout(p.child.Served(), patience)
	defer cancel()
	_ = p.control.send(sendCtx, &order{Stop: true}) // a child that can't be asked is terminated

	if p.exitsWithin(time.Until(began.Add(patience))) {
		return
	}
	p.setReason(fmt.Errorf("it did not stop within %v (%w)", patience, reason))
	_ = p.child.TerminateGroup() // it may have ended meanwhile
	if p.exitsWithin(time.Until(began.Add(p.grace))) {
		return
	}
	p.setReason(fmt.Errorf("it did not stop within %v (%w)", p.grace, reason))
	_ = p.child.Kill() // likewise
}

// endsSoon waits for the end of a child that was killed, and of all that serves it. False says that not even the kill ended
// it: it hangs in the kernel, or belongs to another user.
func (p *Process) endsSoon() bool {
	return closedWithin(p.done, endingTime)
}

func (p *Process) exitsWithin(d time.Duration) bool { return closedWithin(p.child.Exited(), d) }

// closedWithin says whether c is closed within d. If this process stood still, it may see the end of d first.
func closedWithin(c <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		_, _, closed := inTurn(c)
		return closed
	}
}
