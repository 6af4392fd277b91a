package gipc

import (
	"context"
	"errors"
	"io"
	"testing"
)

// duringArgs make Spawn call Hook when it has the ends, and fail if there is a Refused.
type duringArgs struct {
	R       *Reader[string]
	W       *Writer[string]
	Hook    *marshalHook
	Refused *picky
}

var entryDuring = Register("during", func(ctx context.Context, a duringArgs) error {
	return forwardAll(ctx, a.R, a.W)
})

// Calls that come while Spawn has the ends wait for what becomes of them: they go on if it fails, else they get ErrMoved.
func TestCallsDuringSpawnWaitForItsResult(t *testing.T) {
	ctx := procCtx(t)
	for _, fails := range []bool{false, true} {
		for name, call := range map[string]struct {
			call    func(a duringArgs) error
			waiting func(a duringArgs) bool // it has begun to wait
			after   error                   // what it returns if Spawn fails
		}{
			"Get":      {func(a duringArgs) error { return second(a.R.Get(ctx)) }, waitsIn, nil},
			"Put":      {func(a duringArgs) error { return a.W.Put(ctx, "late") }, waitsOut, nil},
			"Put, big": {func(a duringArgs) error { return a.W.Put(ctx, string(make([]byte, 30_000))) }, waitsOut, nil},
			"Close": {func(a duringArgs) error { return a.W.Close() }, func(a duringArgs) bool {
				a.W.out.mu.Lock()
				defer a.W.out.mu.Unlock()
				return a.W.out.closing
			}, nil},
			"Reader.Chan": {func(a duringArgs) error {
				msgs, errs := a.R.Chan(ctx)
				if _, ok := <-msgs; ok {
					return nil
				}
				return <-errs
			}, waitsIn, nil},
			"Writer.Chan": {func(a duringArgs) error {
				msgs, errs := a.W.Chan(ctx)
				select {
				case msgs <- "late":
				case err := <-errs:
					return err
				}
				close(msgs)
				return <-errs
			}, waitsOut, nil},
			"TryClose":        {func(a duringArgs) error { return a.R.TryClose() }, nil, ErrLocked},
			"Writer.TryClose": {func(a duringArgs) error { return a.W.TryClose() }, nil, ErrLocked},
			"Spawn": {func(a duringArgs) error {
				a.Hook = nil
				return second(Spawn(ctx, entryDuring, a, nil))
			}, nil, ErrLocked},
		} {
			t.Run(name, func(t *testing.T) {
				r, w := stringPipe(t)
				r2, w2 := stringPipe(t)
				need(t, w.Put(ctx, "first"))
				a := duringArgs{R: r, W: w2}
				if fails {
					a.Refused = &picky{}
				}
				result := make(chan error, 1)
				a.Hook = &marshalHook{func() {
					if call.waiting == nil {
						result <- call.call(a)
						return
					}
					go func() { result <- call.call(a) }()
					within(t, "the call waits", func() bool { return call.waiting(a) })
				}}
				p, err := Spawn(ctx, entryDuring, a, nil)
				want := call.after
				if fails {
					needIs(t, err, ErrNotReady)
				} else {
					need(t, err)
					if want == nil {
						want = ErrMoved
					}
				}
				if err := <-result; !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
				need(t, w.Close())
				if fails {
					return
				}
				if got := get(t, ctx, r2); got != "first" { // and nothing else
					t.Errorf("the child forwarded %q", got)
				}
				if v, err := r2.Get(ctx); err != io.EOF {
					t.Errorf("%q, %v", v, err)
				}
				need(t, p.Wait(ctx))
			})
		}
	}
}

func waitsIn(a duringArgs) bool {
	a.R.in.mu.Lock()
	defer a.R.in.mu.Unlock()
	return len(a.R.in.waiters) > 0
}

func waitsOut(a duringArgs) bool {
	a.W.out.mu.Lock()
	defer a.W.out.mu.Unlock()
	return len(a.W.out.line) > 0
}

// Closing an end at once, while Spawn has it, makes no difference to the child if it has it by then, and harms nothing.
func TestCloseNowDuringSpawn(t *testing.T) {
	ctx := procCtx(t)
	for _, fails := range []bool{false, true} {
		r, w := stringPipe(t)
		r2, w2 := stringPipe(t)
		a := duringArgs{R: r, W: w2, Hook: &marshalHook{func() {
			need(t, r.Close())
			need(t, w2.CloseNow())
		}}}
		if fails {
			a.Refused = &picky{}
		}
		p, err := Spawn(ctx, entryDuring, a, nil)
		if fails {
			needIs(t, err, ErrNotReady)
			needIs(t, second(r.Get(ctx)), ErrClosed)
			needIs(t, w2.Put(ctx, ""), ErrClosed)
			needIs(t, w.Put(ctx, ""), ErrPeerClosed)
			continue
		}
		need(t, err)
		need(t, w.Put(ctx, "still"))
		if got := get(t, ctx, r2); got != "still" {
			t.Error(got)
		}
		need(t, errors.Join(w.Close(), p.Wait(ctx)))
	}
}
