package stream

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"weak"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// interrupter wakes a blocked read or write by a deadline in the past, when a ctx ends or when it is told to.
//
// The end of a ctx sets the deadline only while a call with that ctx is under way: some streams, such as a tls.Conn, are
// broken for good once a write has met it. A fire may come late and hit a later call, which then has nothing to do with
// it. So whoever finds his call past the deadline first clears it, then looks at his own ctx, and only then tries
// again: in this order no wake is lost.
type interrupter struct {
	setDeadline func(time.Time) error // nil: the stream has none

	armed atomic.Bool // a call with the registered ctx is under way
	ended atomic.Bool // that ctx has ended

	mu         sync.Mutex
	stop       func() bool     // takes the registration back; it keeps the ctx
	registered <-chan struct{} // Done of that ctx
	closed     bool            // nothing is registered any more

	deadline sync.Mutex
	done     <-chan struct{} // Done of the registered ctx; changed by calls only, which read it without the lock
	fired    bool            // the stream's deadline is in the past
}

// arm makes the end of ctx wake the call under way, until disarm. It returns false if ctx has ended.
//
// The ctx stays registered afterwards, because programs use the same ctx again and again, and registering costs
// allocations. Only a weak reference is registered, so that an end which was dropped without Close can still be
// collected.
func (i *interrupter) arm(ctx context.Context) bool {
	done := ctx.Done()
	if done == nil || i.setDeadline == nil {
		return true
	}
	if done != i.done {
		i.register(ctx, done)
	}
	i.armed.Swap(true)  // a Load may overtake a Store under qemu 7.2 as arm64
	if i.ended.Load() { // expire may have looked at armed before
		i.disarm()
		return false
	}
	return true
}

func (i *interrupter) register(ctx context.Context, done <-chan struct{}) {
	i.deadline.Lock()
	i.done = done
	i.ended.Store(false)
	i.deadline.Unlock()

	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stop != nil {
		i.stop()
	}
	if i.closed { // after the call under way had begun
		return
	}
	w := weak.Make(i)
	i.registered = done
	i.stop = context.AfterFunc(ctx, func() {
		if i := w.Value(); i != nil {
			i.expire(done)
		}
	})
}

// disarm ends what arm began, and leaves the stream without a deadline.
func (i *interrupter) disarm() {
	if !i.armed.Load() {
		return
	}
	i.armed.Store(false)
	if i.ended.Load() { // expire may have looked at armed before
		i.clear()
	}
}

// close takes the registration back, for good.
func (i *interrupter) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stop != nil {
		i.stop()
	}
	i.stop, i.closed = nil, true
}

// expire wakes the call under way if it has the ctx of done, which has ended.
func (i *interrupter) expire(done <-chan struct{}) {
	i.deadline.Lock()
	defer i.deadline.Unlock()
	if done != i.done {
		return
	}
	i.ended.Swap(true) // as in arm
	if i.armed.Load() {
		i.fireLocked()
	}
	i.forget(done)
}

// forget lets go of a ctx that has ended, with all its values.
func (i *interrupter) forget(done <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.registered == done {
		i.stop = nil
	}
}

// fire wakes the call under way, or else the next one.
func (i *interrupter) fire() {
	i.deadline.Lock()
	defer i.deadline.Unlock()
	i.fireLocked()
}

func (i *interrupter) fireLocked() {
	if i.setDeadline == nil {
		return
	}
	i.fired = true
	_ = i.setDeadline(longAgo) // fails only on a closed stream, where nobody is left to wake
}

// clear says whether there was a deadline in the past.
func (i *interrupter) clear() bool {
	i.deadline.Lock()
	defer i.deadline.Unlock()
	fired := i.fired
	if fired {
		i.fired = false
		_ = i.setDeadline(time.Time{}) // fails only on a closed stream; which end was closed shows when the call is tried again
	}
	return fired
}

// settle turns the error of a read or write into what source and sink promise.
func (i *interrupter) settle(err error) error {
	if err == nil {
		return nil
	}
	if isSignal(err) {
		return ErrInterrupted
	}
	if i.setDeadline == nil || !isTimeout(err) {
		return err
	}
	if !i.clear() { // the stream is broken for good: trying again would never end
		return err
	}
	return ErrInterrupted
}

// isTimeout says whether err may be that of a deadline: the error of os, or, as of some multiplexed streams, one that only
// says so.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// isSignal says whether a signal has interrupted a system call that the stream makes itself: packages os and net make theirs
// again.
func isSignal(err error) bool { return errors.Is(err, syscall.EINTR) }
