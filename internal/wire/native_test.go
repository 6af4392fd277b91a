package wire

import (
	"context"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// TestPutStaysBehindAValueThatAChannelHadTaken: also while a Put of a crowd, which this test only pretends, has yet to look
// after the line.
func TestPutStaysBehindAValueThatAChannelHadTaken(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, nil)
		setYielding := func(n int) {
			w.out.mu.Lock()
			defer w.out.unlock()
			if w.out.interruptible { // else nobody yields
				w.out.yielding = n
			}
		}
		setYielding(1)
		first := test.Started(func() error { return w.Put(t.Context(), make([]byte, s.fill)) })
		underWay(t, w.out, 1)
		ctx, cancel := context.WithCancel(t.Context())
		msgs, errs := w.Chan(ctx)
		msgs <- test.Stamped(0, 0, 50)
		underWay(t, w.out, 2)
		cancel()
		test.Is(t, <-errs, context.Canceled)
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, len(v), s.fill)
		test.Check(t, <-first)
		second := test.Started(func() error { return w.Put(t.Context(), test.Stamped(0, 1, 50)) })
		if w.out.interruptible { // else it may be through already
			underWay(t, w.out, 1)
		}
		setYielding(0) // it looks after the line, and goes
		getStamped(t, r, 0, 2)
		test.Check(t, <-second)
		test.Check(t, w.Close())
	})
}

// TestFlushWaitsForAValueThatAChannelHadTaken: though it moves from the line into the buffer meanwhile.
func TestFlushWaitsForAValueThatAChannelHadTaken(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, &options{Buffer: 1000})
		put := test.Started(func() error { return w.Put(t.Context(), make([]byte, s.fill)) })
		test.Eventually(t, "it is being written", func() bool {
			w.out.mu.Lock()
			defer w.out.mu.Unlock()
			return w.out.writer != nobody && len(w.out.line) == 0
		})
		test.Check(t, w.Put(t.Context(), test.Stamped(0, 1, 900)))
		ctx, cancel := context.WithCancel(t.Context())
		msgs, errs := w.Chan(ctx)
		msgs <- test.Stamped(0, 2, 200) // there is no room for it
		underWay(t, w.out, 2)
		cancel()
		test.Is(t, <-errs, context.Canceled)
		flushed := test.Started(func() error { return w.Flush(t.Context()) })
		underWay(t, w.out, 2)
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, len(v), s.fill)
		getStamped(t, r, 1, 2)
		test.Check(t, <-put)
		test.Check(t, <-flushed)
		test.Equal(t, w.Stats().Queued, 0)
		test.Check(t, w.Close())
	})
}

// getStamped gets n messages that test.Stamped made, numbered from first on.
func getStamped(t testing.TB, r *reader, first, n int) {
	t.Helper()
	for i := range n {
		v, err := r.Get(t.Context())
		test.Check(t, err)
		_, seq := test.ReadStamp(t, v)
		test.Equal(t, seq, first+i)
	}
}
