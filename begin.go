package gipc

import (
	"context"
	"errors"
	"fmt"
)

// awaitReady tells the child what to do, waits until it is ready to, and lets it. When it fails, the child is gone.
func (p *Process) awaitReady(ctx context.Context, first hello, args []byte) error {
	err := p.begin(ctx, first, args)
	if err == nil {
		return nil
	}
	if err == errEndedEarly {
		_ = p.child.Kill() // most likely there is nothing left to kill
	} else {
		_ = p.KillCause(err) // it may have ended by itself
	}
	if !p.endsSoon() || ctx.Err() != nil || !errors.Is(err, ErrNotReady) {
		return err
	}
	if p.err == nil {
		return fmt.Errorf("%w: it exited with code 0", err)
	}
	return fmt.Errorf("%w: %w", err, p.err)
}

// errEndedEarly says that a child ended by itself, or closed the control channel.
var errEndedEarly = fmt.Errorf("%w", ErrNotReady)

func (p *Process) begin(ctx context.Context, first hello, args []byte) error {
	defer close(p.told)
	sendCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a child may end, or refuse, while it is still being told
		select {
		case <-p.child.Exited():
			cancel()
		case <-sendCtx.Done():
		}
	}()
	err := p.control.send(sendCtx, first)
	if err == nil {
		err = p.control.w.Put(sendCtx, args)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case r, ok := <-p.ready:
		if err := r.asError(ok); err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	switch err := p.control.send(ctx, order{Run: true}); {
	case err == nil, errors.Is(err, ErrPartial): // then it will arrive
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return errEndedEarly
}

func (r report) asError(received bool) error {
	switch {
	case !received:
		return errEndedEarly
	case r.Refused == refusedBuild:
		return fmt.Errorf("%w (%s)", ErrVersionMismatch, r.Text)
	case r.Refused == refusedEntrypoint:
		return fmt.Errorf("%w (it has: %s)", ErrUnknownEntrypoint, r.Text)
	case !r.Ready:
		return fmt.Errorf("%w: it can't take over its arguments: %s", ErrNotReady, r.Text)
	}
	return nil
}
