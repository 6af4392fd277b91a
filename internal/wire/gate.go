package wire

import (
	"context"
	"slices"
	"sync"
)

// gate lets one goroutine at a time read from an end, in order of arrival. It is a mutex that can be waited for with a
// ctx, and knows whether the end may still be used. Nothing blocks while mu is held.
type gate struct {
	mu      sync.Mutex
	err     error           // why the end can't be used any more: ErrClosed or ErrMoved
	ops     int             // calls under way, those that wait included
	held    bool            // somebody is inside
	waiters []chan struct{} // closed to let its owner in; err tells whether the end is gone instead
	gone    chan struct{}   // made by the first who asks, closed with the end
}

// enter waits until the caller is alone inside. With a ctx that has ended nobody gets in.
func (g *gate) enter(ctx context.Context) error {
	ended := ctxErr(ctx)
	g.mu.Lock()
	if g.err != nil {
		ended = g.err
	}
	if ended != nil {
		g.mu.Unlock()
		return ended
	}
	g.ops++
	if !g.held {
		g.held = true
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.waiters = append(g.waiters, turn)
	g.mu.Unlock()

	select {
	case <-turn:
	case <-ctx.Done():
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		g.ops--
		return g.err
	}
	if i := slices.Index(g.waiters, turn); i >= 0 { // ctx ended first
		g.waiters = slices.Delete(g.waiters, i, i+1)
		g.ops--
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		g.leaveLocked()
		return err
	}
	return nil
}

// leave lets the next one in.
func (g *gate) leave() {
	g.mu.Lock()
	g.leaveLocked()
	g.mu.Unlock()
}

func (g *gate) leaveLocked() {
	g.ops--
	if len(g.waiters) == 0 {
		g.held = false
		return
	}
	close(g.waiters[0])
	g.waiters = slices.Delete(g.waiters, 0, 1)
}

// join counts a call that is under way without being inside, until quit; it returns a channel that is closed with the end.
func (g *gate) join() (gone <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return nil, g.err
	}
	g.ops++
	if g.gone == nil {
		g.gone = make(chan struct{})
	}
	return g.gone, nil
}

func (g *gate) quit() {
	g.mu.Lock()
	g.ops--
	g.mu.Unlock()
}

// shut ends the use of the end with err and wakes all who wait. With ifIdle it does so only if no call is under way.
func (g *gate) shut(err error, ifIdle bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return g.err
	}
	if ifIdle && g.ops > 0 {
		return ErrLocked
	}
	g.shutLocked(err)
	return nil
}

func (g *gate) shutLocked(err error) {
	g.err = err
	for _, turn := range g.waiters {
		close(turn)
	}
	g.waiters = nil
	if g.gone != nil {
		close(g.gone)
	}
}

// tryEnter enters only if no call is under way.
func (g *gate) tryEnter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.err != nil:
		return g.err
	case g.ops > 0:
		return ErrLocked
	}
	g.ops, g.held = 1, true
	return nil
}

// closed returns why the end can't be used any more, or nil.
func (g *gate) closed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
