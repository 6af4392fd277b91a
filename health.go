package gipc

import (
	"context"
	"sync"
	"time"
)

type entrypointKey struct{}

// Ready reports that this child process is ready to work: that it listens, has loaded its model, has warmed its cache. A
// Supervisor waits for it where ChildOptions.WaitReady is set; otherwise it changes nothing. Ctx is the one that the
// entrypoint got, or one derived from it, else the error matches ErrNotEntrypoint. Calling it again does no harm.
func Ready(ctx context.Context) error {
	c, ok := ctx.Value(entrypointKey{}).(*inherited)
	err := ErrNotEntrypoint
	if ok {
		err = c.control.send(ctx, report{Serving: true})
	}
	return wrapError(ctx, "report", named("ready"), err)
}

// health is what a child has told its parent about itself while it runs.
type health struct {
	once    sync.Once
	serving chan struct{} // closed when the entrypoint has called Ready
	pong    chan struct{} // holds the answer to the last ping
}

func newHealth() *health {
	return &health{serving: make(chan struct{}), pong: make(chan struct{}, 1)}
}

func (h *health) note(r report) {
	if r.Serving {
		h.once.Do(func() { close(h.serving) })
	}
	if r.Pong {
		select {
		case h.pong <- struct{}{}:
		default: // a child that answers without being asked
		}
	}
}

func (p *Process) reportedReady() <-chan struct{} { return p.health.serving }

func (p *Process) pongs() <-chan struct{} { return p.health.pong }

// ping asks the child for a sign of life. Where that fails, none will come.
func (p *Process) ping(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(p.served, timeout)
	defer cancel()
	_ = p.control.send(ctx, order{Ping: true})
}

// exitErr is for after the child's end.
func (p *Process) exitErr() error { return p.err }
