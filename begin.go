package gipc

import (
	"context"
	"errors"
	"fmt"
	"time"
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
var errEndedEarly = fmt.Errorf("%w (did an init function, main before gipc.Init, or the decoding of its arguments exit or panic?)", ErrNotReady)

func (p *Process) begin(ctx context.Context, first hello, args []byte) error {
	defer close(p.told)
	sendCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.child.Alive(), cancel)() // a child may end, or refuse, while it is still being told
	err := p.control.send(sendCtx, &first)
	if err == nil {
		err = p.control.w.Put(sendCtx, args)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	r, ok, err := firstReport(ctx, p.ready)
	if err == nil {
		err = r.asError(ok)
	}
	if err == nil && errors.Is(ctx.Err(), context.Canceled) {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	runCtx, cancelRun := context.WithTimeout(p.child.Served(), endingTime) // there is room: the child has read all before
	defer cancelRun()
	return toldToRun(p.control.send(runCtx, &order{Run: true}))
}

// toldToRun turns the error of sending the order to Run into begin's. An order of which a part is sent will arrive.
func toldToRun(err error) error {
	if err == nil || errors.Is(err, ErrPartial) {
		return nil
	}
	return errEndedEarly
}

// firstReport waits for the first report until ctx ends. A report that has come in time counts, even if this process stood
// still and sees both at once.
func firstReport(ctx context.Context, reports <-chan report) (r report, received bool, err error) {
	select {
	case r, received = <-reports:
		return r, received, nil
	case <-ctx.Done():
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return r, false, ctx.Err()
	}
	r, received, came := inTurn(reports)
	if came {
		return r, received, nil
	}
	return r, false, ctx.Err()
}

// inTurn receives from c, if what comes from there comes within a turn. Its time passes in steps: if this process stands still once
// more, that costs one or two of them.
func inTurn[T any](c <-chan T) (v T, received, came bool) {
	const steps = 10
	ticker := time.NewTicker(turn / steps)
	defer ticker.Stop()
	for range steps {
		select {
		case v, received = <-c:
			return v, received, true
		case <-ticker.C:
		}
	}
	return v, false, false
}

func (r report) asError(received bool) error {
	text := bounded(r.Text) // it goes into logs, and the child may be hostile
	switch {
	case !received:
		return errEndedEarly
	case r.Refused == refusedBuild:
		return fmt.Errorf("%w (%s)", ErrVersionMismatch, text)
	case r.Refused == refusedEntrypoint:
		return fmt.Errorf("%w (it has: %s)", ErrUnknownEntrypoint, text)
	case r.Refused == refusedLimits:
		return fmt.Errorf("%w: it can't hold its limits: %s", ErrNotReady, text)
	case !r.Ready:
		return fmt.Errorf("%w: it can't take over its arguments: %s", ErrNotReady, text)
	}
	return nil
}
