package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
)

// crowded lines up n cancellable Puts behind one that blocks on a full pipe, cancels that one, and returns once the drain
// has as many of them as it can in one batch, of which no byte is written.
func crowded(t *testing.T, w *Writer[[]byte], n int) (cancels []context.CancelFunc, results []<-chan error) {
	for i := range n + 1 {
		ctx, cancel := context.WithCancel(t.Context())
		cancels = append(cancels, cancel)
		results = append(results, started(func() error { return w.Put(ctx, stamped(0, i, 100)) }))
		underWay(t, w.out, i+1)
	}
	cancels[0]()
	err := <-results[0]
	checkIs(t, err, context.Canceled)
	checkIsNot(t, err, ErrPartial)
	batchBegun(t, w.out)
	return cancels[1:], results[1:]
}

// batchBegun waits until the drain has a batch of waiting Puts.
func batchBegun(t *testing.T, out *outbound) {
	t.Helper()
	eventually(t, "a batch", func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		return len(out.batch.puts) > 0
	})
}

// TestBatchCancelledWholeLeavesWriterUsable: when every Put of a batch is cancelled before its first byte, the next Put
// works and nothing of theirs arrives.
func TestBatchCancelledWholeLeavesWriterUsable(t *testing.T) {
	for n := 1; n <= 4; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bounded(t)
			r, w := rawPipe(t, rawOptions)
			inPipe := filled(t, w)
			cancels, results := crowded(t, w, n)
			for i, cancel := range cancels {
				cancel()
				err := <-results[i]
				checkIs(t, err, context.Canceled)
				checkIsNot(t, err, ErrPartial)
			}
			next := started(func() error { return w.Put(t.Context(), stamped(1, 1, 50)) })
			for range inPipe {
				v, err := r.Get(t.Context())
				check(t, err)
				checkBytes(t, v, pattern(fillSize))
			}
			v, err := r.Get(t.Context())
			check(t, err)
			producer, _ := readStamp(t, v)
			checkEqual(t, producer, 1)
			check(t, <-next)
			check(t, w.Close())
			_, err = r.Get(t.Context())
			checkEqual(t, err, io.EOF)
		})
	}
}

// TestPutCancelledInBatchLeavesTheOthers: of a batch whose Puts are cancelled one by one, the others arrive whole and in
// order.
func TestPutCancelledInBatchLeavesTheOthers(t *testing.T) {
	const n = 5
	for mask := range 1 << n {
		t.Run(fmt.Sprintf("%05b", mask), func(t *testing.T) {
			bounded(t)
			r, w := rawPipe(t, rawOptions)
			inPipe := filled(t, w)
			cancels, results := crowded(t, w, n)
			for i := range n {
				if mask>>i&1 == 1 {
					cancels[i]()
					checkIs(t, <-results[i], context.Canceled)
				}
			}
			for range inPipe {
				_, err := r.Get(t.Context())
				check(t, err)
			}
			for i := range n {
				if mask>>i&1 == 0 {
					check(t, <-results[i])
					v, err := r.Get(t.Context())
					check(t, err)
					_, seq := readStamp(t, v)
					checkEqual(t, seq, i+1)
				}
			}
			check(t, w.Close())
			_, err := r.Get(t.Context())
			checkEqual(t, err, io.EOF)
		})
	}
}

// TestConcurrentPutsShareAWrite lines Puts up behind one that waits for room: as soon as there is room for all, they share a
// write.
func TestConcurrentPutsShareAWrite(t *testing.T) {
	bounded(t)
	r, w := rawPipe(t, rawOptions)
	setRoom := pretendRoom(w)
	inPipe := filled(t, w)
	before := w.Stats().Writes
	var results []<-chan error
	for i := range 5 {
		results = append(results, started(func() error { return w.Put(t.Context(), stamped(0, i, 100)) }))
		underWay(t, w.out, i+1)
	}
	eventually(t, "all but the first wait", func() bool {
		w.out.mu.Lock()
		defer w.out.mu.Unlock()
		return len(w.out.line) == len(results)-1
	})
	setRoom(1000)
	for range inPipe {
		_, err := r.Get(t.Context())
		check(t, err)
	}
	for i, result := range results {
		check(t, <-result)
		v, err := r.Get(t.Context())
		check(t, err)
		_, seq := readStamp(t, v)
		checkEqual(t, seq, i)
	}
	if writes := w.Stats().Writes - before; writes > 3 { // on Windows the first message begins with a byte alone
		t.Errorf("5 messages took %d writes", writes)
	}
}

// TestCloseCompletesPutsOfACrowd: Puts that are under way when Close begins are nil, and arrive, however they are lined up.
func TestCloseCompletesPutsOfACrowd(t *testing.T) {
	bounded(t)
	for range scaled(3000) {
		r, w := rawPipe(t, rawOptions)
		const n = 6
		w.out.mu.Lock()
		w.out.crowd = crowdMemory // as after a batch for several
		w.out.mu.Unlock()
		var put sync.WaitGroup
		errs := make([]error, n)
		for i := range n {
			put.Go(func() { errs[i] = w.Put(t.Context(), stamped(i, 0, 40)) })
		}
		for w.out.callsIn() == 0 && w.Stats().Sent == 0 {
			runtime.Gosched()
		}
		w.out.mu.Lock()
		accepted := w.out.ops + int(w.out.stats.Sent)
		w.out.mu.Unlock()
		check(t, w.Close())
		put.Wait()
		sent := 0
		for _, err := range errs {
			if err == nil {
				sent++
			} else {
				checkIs(t, err, ErrClosed)
			}
		}
		if sent < accepted {
			t.Fatalf("%d Puts were under way or done before Close, %d are nil", accepted, sent)
		}
		for range sent {
			_, err := r.Get(t.Context())
			check(t, err)
		}
		_, err := r.Get(t.Context())
		checkEqual(t, err, io.EOF)
		check(t, r.Close())
	}
}

// TestFlushUnderWayEndsWellWithClose: a Flush whose bytes are through is nil, also when Close ends the Writer right then.
func TestFlushUnderWayEndsWellWithClose(t *testing.T) {
	bounded(t)
	for range scaled(300) {
		r, w := rawPipe(t, &Options[[]byte]{Codec: Raw{}, Buffer: 1 << 20, PipeSize: 4096})
		check(t, w.Put(t.Context(), pattern(200<<10)))
		var flushed []<-chan error
		for i := range 4 {
			flushed = append(flushed, started(func() error { return w.Flush(t.Context()) }))
			underWay(t, w.out, i+1)
		}
		closed := started(w.Close)
		_, err := r.Get(t.Context())
		check(t, err)
		for _, f := range flushed {
			check(t, <-f)
		}
		check(t, <-closed)
		check(t, r.Close())
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
	bounded(t)
	rs, ws, err := newPipe(0)
	check(t, err)
	first := &firstRead{Reader: rs, Closer: rs}
	opts := &Options[[]byte]{Codec: Raw{}, Buffer: 5000}
	w := NewWriter(ws, opts)
	ctx, cancel := context.WithCancel(t.Context())
	alone := started(func() error { return w.Put(ctx, stamped(0, 0, 1<<20)) })
	first.wait(t)
	check(t, w.Put(t.Context(), stamped(0, 1, 4000))) // fits into the buffer
	waits := started(func() error { return w.Put(t.Context(), stamped(0, 2, 3000)) })
	underWay(t, w.out, 2)
	wouldFit := started(func() error { return w.Put(t.Context(), stamped(0, 3, 100)) })
	underWay(t, w.out, 3)
	if cancelled {
		cancel()
		checkIs(t, <-alone, ErrPartial)
	}
	r := NewReader(first, opts)
	for i := range 4 {
		v, err := r.Get(t.Context())
		check(t, err)
		_, seq := readStamp(t, v)
		checkEqual(t, seq, i)
	}
	check(t, errors.Join(<-waits, <-wouldFit))
	if !cancelled {
		check(t, <-alone)
	}
	cancel()
	check(t, errors.Join(w.Close(), r.Close()))
}

// TestLostMessageIsReportedByClose: what was accepted and can't arrive any more makes Close fail, also when Puts that were
// told so themselves wait behind it.
func TestLostMessageIsReportedByClose(t *testing.T) {
	bounded(t)
	rs, ws, err := newPipe(0)
	check(t, err)
	w := NewWriter(ws, rawOptions)
	ctx, cancel := context.WithCancel(t.Context())
	partial := started(func() error { return w.Put(ctx, pattern(300<<10)) })
	_, err = rs.Read(make([]byte, 1))
	check(t, err)
	cancel()
	checkIs(t, <-partial, ErrPartial, context.Canceled)
	behind := started(func() error { return w.Put(t.Context(), pattern(10)) })
	underWay(t, w.out, 1)
	check(t, rs.Close())
	checkIs(t, <-behind, ErrPeerClosed)
	checkIs(t, w.Close(), ErrPeerClosed)
}

// TestPartialInBatchLostIsReportedByClose: the same for a message that was cancelled halfway in a batch with others.
func TestPartialInBatchLostIsReportedByClose(t *testing.T) {
	bounded(t)
	rs, ws, err := newPipe(pageSize)
	check(t, err)
	w := NewWriter(ws, rawOptions)
	inPipe := filled(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	first := started(func() error { return w.Put(ctx, pattern(fillSize)) })
	underWay(t, w.out, 1)
	halfway, cancelHalfway := context.WithCancel(t.Context())
	second := started(func() error { return w.Put(halfway, pattern(30_000)) })
	underWay(t, w.out, 2)
	third := started(func() error { return w.Put(t.Context(), pattern(30_000)) })
	underWay(t, w.out, 3)
	cancel()
	checkIs(t, <-first, context.Canceled)
	batchBegun(t, w.out)
	_, err = io.ReadFull(rs, make([]byte, inPipe*pageSize+1)) // a byte of the second message, whose end has no room
	check(t, err)
	cancelHalfway()
	err = <-second
	if err == nil {
		t.Skip("the pipe took the message whole: it has no capacity of one page here")
	}
	checkIs(t, err, ErrPartial)
	check(t, rs.Close())
	checkIs(t, <-third, ErrPeerClosed)
	checkIs(t, w.Close(), ErrPeerClosed)
}

// oneCtx is a ctx of a user's own type: not comparable, and with an error that is made anew each time.
type oneCtx struct {
	context.Context
	_ []int
}

func (c oneCtx) Err() error {
	if err := c.Context.Err(); err != nil {
		return fmt.Errorf("own ctx: %w", err)
	}
	return nil
}

// TestAnyCtxTypeCancels: a ctx of any type ends a call, and nothing but the call.
func TestAnyCtxTypeCancels(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.rawChannel(t, rawOptions)
		inner, cancel := context.WithCancel(t.Context())
		got := started(func() error { _, err := r.Get(oneCtx{Context: inner}); return err })
		underWay(t, r.in, 1)
		cancel()
		checkIs(t, <-got, context.Canceled)

		big := make([]byte, s.fill)
		inner, cancel = context.WithCancel(t.Context())
		put := started(func() error { return w.Put(oneCtx{Context: inner}, big) })
		underWay(t, w.out, 1)
		cancel()
		err := <-put
		checkIs(t, err, context.Canceled)
		put = started(func() error { return w.Put(t.Context(), []byte("next")) })
		if errors.Is(err, ErrPartial) {
			v, err := r.Get(t.Context())
			check(t, err)
			checkBytes(t, v, big)
		}
		v, err := r.Get(t.Context())
		check(t, err)
		checkEqual(t, string(v), "next")
		check(t, <-put)
	})
}
