package wire

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// TestNoGoroutineOutlivesAnEnd: after Close nothing is left of a call, nor of what its ctx was registered with, whatever
// the ctx's type.
func TestNoGoroutineOutlivesAnEnd(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		before := runtime.NumGoroutine()
		own, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range 50 {
			rs, ws := s.open(t)
			r, w := newReader(rs, nil), newWriter(ws, nil)
			ctx := context.Context(test.OwnCtx{Context: ownDone{own, make(chan struct{})}})
			var calls []<-chan error
			for range 3 {
				calls = append(calls, test.Started(func() error { _, err := r.Get(ctx); return err }))
				calls = append(calls, test.Started(func() error { return w.Put(ctx, test.Stamped(0, 0, 100<<10)) }))
			}
			msgs, why := r.Chan(ctx)
			if i%2 == 0 {
				test.Eventually(t, "calls are under way", func() bool { return r.in.callsIn() >= 2 || r.Stats().Messages > 0 })
			}
			_ = w.CloseNow() // in any order with the calls
			_ = r.Close()
			for _, c := range calls {
				<-c
			}
			for range msgs {
			}
			<-why
		}
		test.Eventually(t, "as few goroutines as before", func() bool { return runtime.NumGoroutine() <= before+2 })
	})
}

// ownDone has a Done of its own, so that the context package must watch it with a goroutine.
type ownDone struct {
	context.Context
	done chan struct{}
}

func (c ownDone) Done() <-chan struct{} { return c.done }

// brittle is a stream that is broken for good by a deadline in the past, as a tls.Conn is by a write that met it.
type brittle struct {
	io.Writer
	broken bool
}

func (s *brittle) Write(p []byte) (int, error) {
	if s.broken {
		return 0, os.ErrDeadlineExceeded
	}
	return s.Writer.Write(p)
}

func (s *brittle) SetWriteDeadline(d time.Time) error {
	s.broken = s.broken || !d.IsZero()
	return nil
}

func (s *brittle) Close() error { return nil }

// TestCtxThatEndsBehindItsCallTouchesNothing: programs that cancel each call's ctx behind it, as all do that set a timeout
// for each, don't meet deadlines, and need no second write.
func TestCtxThatEndsBehindItsCallTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent bytes.Buffer
		w := newWriter(&brittle{Writer: &sent}, nil)
		for i := range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			test.Check(t, w.Put(ctx, []byte{byte(i)}))
			cancel()
			synctest.Wait()
		}
		test.Equal(t, w.Stats().Writes, 10)
		test.Check(t, w.Close())

		r := newReader(io.NopCloser(&sent), nil)
		for i := range 10 {
			got, err := r.Get(t.Context())
			test.Check(t, err)
			test.Equal(t, int(got[0]), i)
		}
	})
}
