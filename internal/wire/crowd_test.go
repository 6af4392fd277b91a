package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
)

// crowded lines up n cancellable Puts behind one that blocks on a full pipe, cancels that one, and returns once the drain
// has as many of them as it can in one batch, of which no byte is written.
func crowded(t *testing.T, w *writer, n int) (cancels []context.CancelFunc, results []<-chan error) {
	for i := range n + 1 {
		ctx, cancel := context.WithCancel(t.Context())
		cancels = append(cancels, cancel)
		results = append(results, test.Started(func() error { return w.Put(ctx, test.Stamped(0, i, 100)) }))
		underWay(t, w.out, i+1)
	}
	cancels[0]()
	err := <-results[0]
	test.Is(t, err, context.Canceled)
	test.IsNot(t, err, ErrPartial)
	batchBegun(t, w.out)
	return cancels[1:], results[1:]
}

// batchBegun waits until the drain has a batch of waiting Puts.
func batchBegun(t *testing.T, out *Outbound) {
	t.Helper()
	test.Eventually(t, "a batch", func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		return len(out.batch.frames) > 0
	})
}

// TestBatchCancelledWholeLeavesWriterUsable: when every Put of a batch is cancelled before its first byte, the next Put
// works and nothing of theirs arrives.
func TestBatchCancelledWholeLeavesWriterUsable(t *testing.T) {
	for n := 1; n <= 4; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			test.Bounded(t)
			r, w := pipe(t, nil)
			inPipe := filled(t, w)
			cancels, results := crowded(t, w, n)
			for i, cancel := range cancels {
				cancel()
				err := <-results[i]
				test.Is(t, err, context.Canceled)
				test.IsNot(t, err, ErrPartial)
			}
			next := test.Started(func() error { return w.Put(t.Context(), test.Stamped(1, 1, 50)) })
			for range inPipe {
				v, err := r.Get(t.Context())
				test.Check(t, err)
				test.Bytes(t, v, test.Pattern(fillSize))
			}
			v, err := r.Get(t.Context())
			test.Check(t, err)
			producer, _ := test.ReadStamp(t, v)
			test.Equal(t, producer, 1)
			test.Check(t, <-next)
			test.Check(t, w.Close())
			_, err = r.Get(t.Context())
			test.Equal(t, err, io.EOF)
		})
	}
}

// TestPutCancelledInBatchLeavesTheOthers: of a batch whose Puts are cancelled one by one, the others arrive whole and in
// order.
func TestPutCancelledInBatchLeavesTheOthers(t *testing.T) {
	const n = 5
	for mask := range 1 << n {
		t.Run(fmt.Sprintf("%05b", mask), func(t *testing.T) {
			test.Bounded(t)
			r, w := pipe(t, nil)
			inPipe := filled(t, w)
			cancels, results := crowded(t, w, n)
			for i := range n {
				if mask>>i&1 == 1 {
					cancels[i]()
					test.Is(t, <-results[i], context.Canceled)
				}
			}
			for range inPipe {
				_, err := r.Get(t.Context())
				test.Check(t, err)
			}
			for i := range n {
				if mask>>i&1 == 0 {
					test.Check(t, <-results[i])
					v, err := r.Get(t.Context())
					test.Check(t, err)
					_, seq := test.ReadStamp(t, v)
					test.Equal(t, seq, i+1)
				}
			}
			test.Check(t, w.Close())
			_, err := r.Get(t.Context())
			test.Equal(t, err, io.EOF)
		})
	}
}

// pretendRoom makes w's stream say that it has as much room as was last set, 0 at first.
func pretendRoom(w *writer) (set func(bytes int64)) {
	s := &roomySink{Sink: w.out.dst}
	w.out.dst = s
	return s.room.Store
}

type roomySink struct {
	stream.Sink
	room atomic.Int64
}

func (s *roomySink) Room() int { return int(s.room.Load()) }

// TestConcurrentPutsShareAWrite lines Puts up behind one that waits for room: as soon as there is room for all, they share a
// write.
func TestConcurrentPutsShareAWrite(t *testing.T) {
	test.Bounded(t)
	r, w := pipe(t, nil)
	setRoom := pretendRoom(w)
	inPipe := filled(t, w)
	before := w.Stats().Writes
	var results []<-chan error
	for i := range 5 {
		results = append(results, test.Started(func() error { return w.Put(t.Context(), test.Stamped(0, i, 100)) }))
		underWay(t, w.out, i+1)
	}
	test.Eventually(t, "all but the first wait", func() bool {
		w.out.mu.Lock()
		defer w.out.mu.Unlock()
		return len(w.out.line) == len(results)-1
	})
	setRoom(1000)
	for range inPipe {
		_, err := r.Get(t.Context())
		test.Check(t, err)
	}
	for i, result := range results {
		test.Check(t, <-result)
		v, err := r.Get(t.Context())
		test.Check(t, err)
		_, seq := test.ReadStamp(t, v)
		test.Equal(t, seq, i)
	}
	most := uint64(3) // on Windows the first message begins with a byte alone
	if test.UnderWine() {
		most++ // and so does the second write, since no pipe of Wine's has room
	}
	if writes := w.Stats().Writes - before; writes > most {
		t.Errorf("5 messages took %d writes", writes)
	}
}

// TestCloseCompletesPutsOfACrowd: Puts that are under way when Close begins are nil, and arrive, however they are lined up.
func TestCloseCompletesPutsOfACrowd(t *testing.T) {
	test.Bounded(t)
	for range test.Scaled(3000) {
		r, w := pipe(t, nil)
		const n = 6
		w.out.mu.Lock()
		w.out.crowd = crowdMemory // as after a batch for several
		w.out.mu.Unlock()
		var put sync.WaitGroup
		errs := make([]error, n)
		for i := range n {
			put.Go(func() { errs[i] = w.Put(t.Context(), test.Stamped(i, 0, 40)) })
		}
		for w.out.callsIn() == 0 && w.Stats().Messages == 0 {
			runtime.Gosched()
		}
		w.out.mu.Lock()
		accepted := w.out.ops + int(w.out.stats.Messages)
		w.out.mu.Unlock()
		test.Check(t, w.Close())
		put.Wait()
		sent := 0
		for _, err := range errs {
			if err == nil {
				sent++
			} else {
				test.Is(t, err, ErrClosed)
			}
		}
		if sent < accepted {
			t.Fatalf("%d Puts were under way or done before Close, %d are nil", accepted, sent)
		}
		for range sent {
			_, err := r.Get(t.Context())
			test.Check(t, err)
		}
		_, err := r.Get(t.Context())
		test.Equal(t, err, io.EOF)
		test.Check(t, r.Close())
	}
}

// TestFlushUnderWayEndsWellWithClose: a Flush whose bytes are through is nil, also when Close ends the Writer right then.
func TestFlushUnderWayEndsWellWithClose(t *testing.T) {
	test.Bounded(t)
	for range test.Scaled(300) {
		r, w := byteStreams[1].channel(t, &options{Buffer: 1 << 20})
		test.Check(t, w.Put(t.Context(), test.Pattern(200<<10)))
		var flushed []<-chan error
		for i := range 4 {
			flushed = append(flushed, test.Started(func() error { return w.Flush(t.Context()) }))
			underWay(t, w.out, i+1)
		}
		closed := test.Started(w.Close)
		_, err := r.Get(t.Context())
		test.Check(t, err)
		for _, f := range flushed {
			test.Check(t, <-f)
		}
		test.Check(t, <-closed)
		test.Check(t, r.Close())
	}
}

// TestPutsComeInTheOrderOfTheirCalls: whichever of them are alone, buffered or waiting for room; and the rest of one that
// was cancelled halfway comes first.
func TestPutsComeInTheOrderOfTheirCalls(t *testing.T) {
	for name, cancelled := range map[string]bool{"all complete": false, "the first is cancelled": true} {
		t.Run(name, func(t *testing.T) { testPutsInOrder(t, cancelled) })
	}
}

func testPutsInOrder(t *testing.T, cancelled bool) {
	test.Bounded(t)
	rs, ws, err := fd.NewPipe(0)
	test.Check(t, err)
	first := &firstRead{Reader: rs, Closer: rs}
	opts := &options{Buffer: 5000}
	w := newWriter(ws, opts)
	ctx, cancel := context.WithCancel(t.Context())
	alone := test.Started(func() error { return w.Put(ctx, test.Stamped(0, 0, 1<<20)) })
	first.wait(t)
	test.Check(t, w.Put(t.Context(), test.Stamped(0, 1, 4000))) // fits into the buffer
	waits := test.Started(func() error { return w.Put(t.Context(), test.Stamped(0, 2, 3000)) })
	underWay(t, w.out, 2)
	wouldFit := test.Started(func() error { return w.Put(t.Context(), test.Stamped(0, 3, 100)) })
	underWay(t, w.out, 3)
	if cancelled {
		cancel()
		test.Is(t, <-alone, ErrPartial)
	}
	r := newReader(first, opts)
	for i := range 4 {
		v, err := r.Get(t.Context())
		test.Check(t, err)
		_, seq := test.ReadStamp(t, v)
		test.Equal(t, seq, i)
	}
	test.Check(t, errors.Join(<-waits, <-wouldFit))
	if !cancelled {
		test.Check(t, <-alone)
	}
	cancel()
	test.Check(t, errors.Join(w.Close(), r.Close()))
}

// TestLostMessageIsReportedByClose: what was accepted and can't arrive any more makes Close fail, also when Puts that were
// told so themselves wait behind it.
func TestLostMessageIsReportedByClose(t *testing.T) {
	test.Bounded(t)
	rs, ws, err := fd.NewPipe(0)
	test.Check(t, err)
	w := newWriter(ws, nil)
	ctx, cancel := context.WithCancel(t.Context())
	partial := test.Started(func() error { return w.Put(ctx, test.Pattern(300<<10)) })
	_, err = rs.Read(make([]byte, 1))
	test.Check(t, err)
	cancel()
	test.Is(t, <-partial, ErrPartial, context.Canceled)
	behind := test.Started(func() error { return w.Put(t.Context(), test.Pattern(10)) })
	underWay(t, w.out, 1)
	test.Check(t, rs.Close())
	test.Is(t, <-behind, ErrPeerClosed)
	test.Is(t, w.Close(), ErrPeerClosed)
}

// TestPartialInBatchLostIsReportedByClose: the same for a message that was cancelled halfway in a batch with others.
func TestPartialInBatchLostIsReportedByClose(t *testing.T) {
	test.Bounded(t)
	rs, ws, err := fd.NewPipe(pageSize)
	test.Check(t, err)
	w := newWriter(ws, nil)
	inPipe := filled(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	first := test.Started(func() error { return w.Put(ctx, test.Pattern(fillSize)) })
	underWay(t, w.out, 1)
	halfway, cancelHalfway := context.WithCancel(t.Context())
	second := test.Started(func() error { return w.Put(halfway, test.Pattern(30_000)) })
	underWay(t, w.out, 2)
	third := test.Started(func() error { return w.Put(t.Context(), test.Pattern(30_000)) })
	underWay(t, w.out, 3)
	cancel()
	test.Is(t, <-first, context.Canceled)
	batchBegun(t, w.out)
	_, err = io.ReadFull(rs, make([]byte, inPipe*pageSize+1)) // a byte of the second message, whose end has no room
	test.Check(t, err)
	cancelHalfway()
	err = <-second
	if err == nil {
		t.Skip("the pipe took the message whole: it has no capacity of one page here")
	}
	test.Is(t, err, ErrPartial)
	test.Check(t, rs.Close())
	test.Is(t, <-third, ErrPeerClosed)
	test.Is(t, w.Close(), ErrPeerClosed)
}

// TestAnyCtxTypeCancels: a ctx of any type ends a call, and nothing but the call.
func TestAnyCtxTypeCancels(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, nil)
		inner, cancel := context.WithCancel(t.Context())
		got := test.Started(func() error { _, err := r.Get(test.OwnCtx{Context: inner}); return err })
		underWay(t, r.in, 1)
		cancel()
		test.Is(t, <-got, context.Canceled)

		big := make([]byte, s.fill)
		inner, cancel = context.WithCancel(t.Context())
		put := test.Started(func() error { return w.Put(test.OwnCtx{Context: inner}, big) })
		underWay(t, w.out, 1)
		cancel()
		err := <-put
		test.Is(t, err, context.Canceled)
		put = test.Started(func() error { return w.Put(t.Context(), []byte("next")) })
		if errors.Is(err, ErrPartial) {
			v, err := r.Get(t.Context())
			test.Check(t, err)
			test.Bytes(t, v, big)
		}
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, string(v), "next")
		test.Check(t, <-put)
	})
}
