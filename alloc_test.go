package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// TestNothingIsAllocatedPerMessage: in steady state, for the types that promise it, with any ctx that is used again.
func TestNothingIsAllocatedPerMessage(t *testing.T) {
	if test.RaceEnabled() {
		t.Skip("the race detector empties pools at random")
	}
	cancellable, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, ctx := range map[string]context.Context{"background": context.Background(), "cancellable": cancellable} {
		t.Run(name, func(t *testing.T) {
			message := bytes.Clone(test.Pattern(64))
			allocationFree(t, ctx, "Raw", rawOptions, message)
			allocationFree(t, ctx, "Raw with Buffer", &Options[[]byte]{Codec: Raw{}, Buffer: 1000}, message)
			allocationFree(t, ctx, "Raw, 50 kB", rawOptions, bytes.Clone(test.Pattern(50_000)))
			allocationFree(t, ctx, "Raw, shared", sharedOptions(1<<20), message)
			allocationFree(t, ctx, "Raw, shared, 50 kB", sharedOptions(1<<20), bytes.Clone(test.Pattern(50_000)))
			allocationFree(t, ctx, "bytes", nil, message)
			allocationFree(t, ctx, "int", nil, 1<<30)
			allocationFree(t, ctx, "int8", nil, int8(-1))
			allocationFree(t, ctx, "uint64", nil, uint64(1<<63))
			allocationFree(t, ctx, "bool", nil, true)
			allocationFree(t, ctx, "float64", nil, 1.5)
			allocationFree(t, ctx, "string", nil, "the same again")
		})
	}
}

func allocationFree[T any](t *testing.T, ctx context.Context, name string, opts *Options[T], v T) {
	t.Helper()
	r, w, err := Pipe(inMemory(opts))
	test.Check(t, err)
	closeAtEnd(t, r, w)
	got := new(T)
	if n := testing.AllocsPerRun(500, func() {
		if err := w.Put(ctx, v); err != nil {
			t.Error(err)
		}
		if err := r.GetInto(ctx, got); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%s: %v allocations per message", name, n)
	}
}

// TestErrorsNameCallAndEnd: what a log shows of a cancelled call.
func TestErrorsNameCallAndEnd(t *testing.T) {
	r, w := rawPipe(t, rawOptions)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(os.ErrProcessDone)
	var e *Error
	_, err := r.Get(ctx)
	if !errors.As(err, &e) || e.Op != "get" || e.On != r.String() {
		t.Errorf("error of Get is %#v", err)
	}
	err = w.Put(ctx, nil)
	if !errors.As(err, &e) || e.Op != "put" || e.On != w.String() {
		t.Errorf("error of Put is %#v", err)
	}
	test.Equal(t, err.Error(), fmt.Sprintf("gipc: put %v: context canceled: %v", w, os.ErrProcessDone))
}
