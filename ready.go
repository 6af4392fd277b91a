package gipc

import (
	"context"
	"fmt"
	"os"
	"sync"
)

type entrypointKey struct{}

// Ready reports that this child process is ready to work: it listens, has loaded its model, has warmed its cache. A
// Supervisor waits for it where ChildOptions.WaitReady is set. Without that, Ready changes nothing. Ctx must be the one that
// the entrypoint got, or be derived from it; otherwise the error matches ErrNotEntrypoint. Calling Ready again does no harm.
func Ready(ctx context.Context) error {
	mustBeContext(ctx)
	c, ok := ctx.Value(entrypointKey{}).(*childSide)
	err := ErrNotEntrypoint
	if ok {
		err = c.control.send(ctx, &report{Serving: true})
	}
	return wrapError(ctx, "report", named("ready"), err)
}

// WaitReady waits until the entrypoint has called Ready, and returns nil. If the child ends before that, it returns what
// Wait returns, or an error that matches ErrNotReady if the child ended well. When ctx ends, it returns the ctx's error and
// the child lives on.
func (p *Process) WaitReady(ctx context.Context) error {
	p.mustBeSpawned()
	mustBeContext(ctx)
	select {
	case <-p.health.serving:
		return nil
	default:
	}
	select {
	case <-p.health.serving:
		return nil
	case <-p.done:
	case <-ctx.Done():
		return wrapError(ctx, "wait until ready", p, ctx.Err())
	}
	select {
	case <-p.health.serving: // before its end
		return nil
	default:
	}
	if p.err == nil {
		return wrapError(ctx, "wait until ready", p, fmt.Errorf("%w: it exited with code 0", ErrNotReady))
	}
	return p.err
}

// Ping asks the child for a sign of life and waits for the answer. The child's package answers in a goroutine of its own. So
// Ping finds a process that is stopped, that is starved of CPU or memory, or whose Go runtime is stuck. It doesn't find an
// entrypoint that waits for ever.
//
// Ping returns the ctx's error if no answer comes before ctx ends. If the child has ended, it returns what Wait returns, or
// an error that matches os.ErrProcessDone if the child ended well. Calls at the same time share one question.
func (p *Process) Ping(ctx context.Context) error {
	p.mustBeSpawned()
	mustBeContext(ctx)
	number, answered := p.health.ask()
	if number > 0 {
		// It is asked for others, too, who may have more time. It blocks only where a hostile child has filled its pipe, until the
		// child's end. There is one question at a time.
		go func() { _ = p.control.send(p.child.Served(), &order{Ping: number}) }()
	}
	select {
	case <-answered:
		return nil
	case <-p.done:
	case <-ctx.Done():
		return wrapError(ctx, "ping", p, ctx.Err())
	}
	if p.err == nil {
		return wrapError(ctx, "ping", p, os.ErrProcessDone)
	}
	return p.err
}

// health is what a child has told its parent about itself while it runs.
type health struct {
	once    sync.Once
	serving chan struct{} // closed when the entrypoint has called Ready

	mu       sync.Mutex
	asked    uint64        // questions; the last one's number
	answered chan struct{} // closed by the answer to the last question; nil: it was answered
}

func newHealth() *health { return &health{serving: make(chan struct{})} }

// ask returns a channel that is closed by the next answer, and the number of the question that the caller must ask, or 0 if
// one is on its way.
func (h *health) ask() (number uint64, answered <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answered == nil {
		h.asked++
		number, h.answered = h.asked, make(chan struct{})
	}
	return number, h.answered
}

func (h *health) note(r report) {
	if r.Serving {
		h.once.Do(func() { close(h.serving) })
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Pong > 0 && r.Pong == h.asked && h.answered != nil {
		close(h.answered)
		h.answered = nil
	}
}
