package gipc

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
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
	ctx := test.Context(t)
	for _, fails := range []bool{false, true} {
		for name, call := range map[string]struct {
			call    func(a duringArgs) error
			waiting func(a duringArgs) bool // it has begun to wait
			after   error                   // what it returns if Spawn fails
		}{
			"Get":      {func(a duringArgs) error { return second(a.R.Get(ctx)) }, waitsIn, nil},
			"Put":      {func(a duringArgs) error { return a.W.Put(ctx, "late") }, waitsOut, nil},
			"Put, big": {func(a duringArgs) error { return a.W.Put(ctx, string(make([]byte, 30_000))) }, waitsOut, nil},
			"Close":    {func(a duringArgs) error { return a.W.Close() }, closes, nil},
			"Reader.Chan": {func(a duringArgs) error {
				msgs, errs := a.R.Chan(ctx)
				if _, ok := <-msgs; ok {
					return nil
				}
				return <-errs
			}, func(a duringArgs) bool { return a.R.Stats().Calls > 2 }, nil},
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
				test.Check(t, w.Put(ctx, "first"))
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
					test.Eventually(t, "the call waits", func() bool { return call.waiting(a) })
				}}
				p, err := Spawn(ctx, entryDuring, a, nil)
				want := call.after
				if fails {
					test.Is(t, err, ErrNotReady)
				} else {
					test.Check(t, err)
					if want == nil {
						want = ErrMoved
					}
				}
				if err := <-result; !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
				test.Check(t, w.Close())
				if fails {
					return
				}
				if got := get(t, ctx, r2); got != "first" { // and nothing else
					t.Errorf("the child forwarded %q", got)
				}
				if v, err := r2.Get(ctx); err != io.EOF {
					t.Errorf("%q, %v", v, err)
				}
				test.Check(t, p.Wait(ctx))
			})
		}
	}
}

// A move counts as a call of the Reader's.
func waitsIn(a duringArgs) bool { return a.R.Stats().Calls > 1 }

func waitsOut(a duringArgs) bool { return a.W.Stats().Calls > 0 }

// closes says whether a Close has begun: a call whose ctx has ended does nothing else than telling.
func closes(a duringArgs) bool {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return errors.Is(a.W.Flush(ended), ErrClosed)
}

// Closing an end at once, while Spawn has it, makes no difference to the child if it has it by then, and harms nothing.
func TestCloseNowDuringSpawn(t *testing.T) {
	ctx := test.Context(t)
	for _, fails := range []bool{false, true} {
		r, w := stringPipe(t)
		r2, w2 := stringPipe(t)
		a := duringArgs{R: r, W: w2, Hook: &marshalHook{func() {
			test.Check(t, r.Close())
			test.Check(t, w2.CloseNow())
		}}}
		if fails {
			a.Refused = &picky{}
		}
		p, err := Spawn(ctx, entryDuring, a, nil)
		if fails {
			test.Is(t, err, ErrNotReady)
			test.Is(t, second(r.Get(ctx)), ErrClosed)
			test.Is(t, w2.Put(ctx, ""), ErrClosed)
			test.Is(t, w.Put(ctx, ""), ErrPeerClosed)
			continue
		}
		test.Check(t, err)
		test.Check(t, w.Put(ctx, "still"))
		if got := get(t, ctx, r2); got != "still" {
			t.Error(got)
		}
		test.Check(t, errors.Join(w.Close(), p.Wait(ctx)))
	}
}
