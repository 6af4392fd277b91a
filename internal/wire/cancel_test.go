package wire

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// storm is a random test of cancelling: some goroutines Put, some Get, and most of their calls are cancelled somewhere.
type storm struct {
	producers, consumers, each int
	size                       func() int
	buffer                     int
	neverPut                   bool // cancel only Gets
	native                     bool // some messages go through Chans
	partial                    *atomic.Int64
}

func small() int { return 16 + rand.IntN(300) }
func large() int { return 200 << 10 }
func mixed() int {
	if rand.IntN(6) == 0 {
		return rand.IntN(200 << 10)
	}
	return small()
}

// TestRandomCancellingLosesAndTearsNothing: whatever calls are cancelled, a Put that returned nil or ErrPartial arrives
// exactly once, whole and in its producer's order; one that returned the ctx's error alone never arrives.
func TestRandomCancellingLosesAndTearsNothing(t *testing.T) {
	storms := map[string]storm{
		"small":            {producers: 1, consumers: 1, each: 4000, size: small},
		"large":            {producers: 1, consumers: 1, each: 150, size: large},
		"mixed, buffered":  {producers: 2, consumers: 2, each: 800, size: mixed, buffer: 20_000},
		"small, buffered":  {producers: 3, consumers: 2, each: 1500, size: small, buffer: 2000},
		"crowd":            {producers: 8, consumers: 2, each: 800, size: small},
		"crowd, mixed":     {producers: 8, consumers: 1, each: 150, size: mixed},
		"native":           {producers: 3, consumers: 1, each: 600, size: mixed, native: true},
		"native, buffered": {producers: 3, consumers: 1, each: 600, size: mixed, buffer: 20_000, native: true},
		"crowd, Gets":      {producers: 8, consumers: 3, each: 800, size: small, neverPut: true},
	}
	onEachStream(t, func(t *testing.T, s byteStream) {
		for name, st := range storms {
			t.Run(name, func(t *testing.T) {
				st.each = test.Scaled(st.each)
				r, w := s.channel(t, &options{Buffer: st.buffer})
				st.run(t, r, w)
			})
		}
	})
}

func (s storm) run(t *testing.T, r *reader, w *writer) {
	s.partial = new(atomic.Int64)
	var got test.Tally
	var getting, putting sync.WaitGroup
	for range s.consumers {
		getting.Go(func() { s.consume(t, r, got.Consumer(t)) })
	}
	accepted := make([]map[int]bool, s.producers) // by each producer: message to whether it must arrive
	for p := range s.producers {
		accepted[p] = map[int]bool{}
		putting.Go(func() { s.produce(t, w, p, accepted[p]) })
	}
	putting.Wait()
	test.Check(t, w.Close())
	getting.Wait()
	arrived, cancelled := 0, 0
	for p, messages := range accepted {
		for seq, must := range messages {
			if came := got.Has(p, seq); came != must {
				t.Errorf("message %d of producer %d: arrived %v, want %v", seq, p, came, must)
			}
			if must {
				arrived++
			} else {
				cancelled++
			}
		}
	}
	stats := w.Stats()
	test.Equal(t, got.Len(), arrived)
	test.Equal(t, int(stats.Messages), arrived)
	test.Equal(t, int(r.Stats().Messages), arrived)
	test.Equal(t, stats.Queued, 0)
	t.Logf("%d arrived, %d of them after ErrPartial; %d were cancelled", arrived, s.partial.Load(), cancelled)
}

func (s storm) produce(t *testing.T, w *writer, p int, accepted map[int]bool) {
	for seq := range s.each {
		ctx, cancel := someCtx(t, s.neverPut)
		put := w.Put
		if s.native && rand.IntN(3) == 0 {
			put = func(ctx context.Context, v []byte) error { return putByChan(ctx, w, v) }
		}
		err := put(ctx, test.Stamped(p, seq, s.size()))
		cancel()
		accepted[seq] = err == nil || errors.Is(err, ErrPartial)
		if errors.Is(err, ErrPartial) {
			s.partial.Add(1)
		}
		if err != nil && !isCtxError(err) {
			t.Errorf("put: %v", err)
			return
		}
		if rand.IntN(100) == 0 {
			ctx, cancel := someCtx(t, s.neverPut)
			if err := w.Flush(ctx); err != nil && !isCtxError(err) {
				t.Errorf("flush: %v", err)
			}
			cancel()
		}
	}
}

func (s storm) consume(t *testing.T, r *reader, note func([]byte)) {
	var buf []byte
	for {
		ctx, cancel := someCtx(t, false)
		get := r.GetInto
		if s.native && rand.IntN(3) == 0 {
			get = func(ctx context.Context, v *[]byte) error { return getByChan(ctx, r, v) }
		}
		err := get(ctx, &buf)
		cancel()
		if err == nil {
			note(buf)
			clear(buf) // its next owner must not see this
		} else if err == io.EOF {
			return
		} else if !isCtxError(err) {
			t.Errorf("get: %v", err)
			return
		}
		if rand.IntN(3) == 0 {
			buf = nil
		}
		if rand.IntN(30) == 0 { // let the stream fill up
			for range rand.IntN(300) {
				runtime.Gosched()
			}
		}
	}
}

// putByChan puts v through a native channel that ends behind it.
func putByChan(ctx context.Context, w *writer, v []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	msgs, errs := w.Chan(ctx)
	select {
	case err := <-errs:
		return err
	case msgs <- v:
	}
	if rand.IntN(2) == 0 {
		close(msgs)
	}
	cancel()
	if err := <-errs; err != nil && !isCtxError(err) {
		return err
	}
	return nil
}

// getByChan gets a message through a native channel that ends behind it.
func getByChan(ctx context.Context, r *reader, v *[]byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	msgs, errs := r.Chan(ctx)
	message, received := <-msgs
	if !received {
		return cmp.Or(<-errs, io.EOF)
	}
	*v = message
	cancel() // it may have taken another one
	<-errs   // where the stream has ended, the next call says so, too
	return nil
}

func isCtxError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// someCtx returns a ctx that may end at any time, or never.
func someCtx(t *testing.T, never bool) (context.Context, context.CancelFunc) {
	choice := rand.IntN(8)
	if never {
		choice = 0
	}
	ctx, cancel := context.WithCancel(t.Context())
	switch choice {
	case 0:
		cancel()
		return context.Background(), func() {}
	case 1, 2:
		return ctx, cancel
	case 3, 4:
		go func() {
			for range rand.IntN(20) {
				runtime.Gosched()
			}
			cancel()
		}()
		return ctx, cancel
	case 5:
		return test.OwnCtx{Context: ctx}, cancel
	}
	cancel()
	return context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Microsecond)
}

// TestEndedCtxDoesNothing: a call whose ctx has ended fails, though it would not have to wait, and changes nothing.
func TestEndedCtxDoesNothing(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, &options{Buffer: 1000})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		test.Check(t, w.Put(t.Context(), []byte("there")))
		_, err := r.Get(ctx)
		test.Is(t, err, context.Canceled)
		err = w.Put(ctx, []byte("never"))
		test.Is(t, err, context.Canceled)
		test.IsNot(t, err, ErrPartial)
		test.Is(t, w.Flush(ctx), context.Canceled)
		for _, err := range r.All(ctx) {
			test.Is(t, err, context.Canceled)
		}
		_, errs := w.Chan(ctx)
		test.Is(t, <-errs, context.Canceled)
		_, errs = r.Chan(ctx)
		test.Is(t, <-errs, context.Canceled)
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, string(v), "there")
		test.Check(t, w.Close())
		_, err = r.Get(t.Context())
		test.Equal(t, err, io.EOF)
	})
}

// TestCancelEndsWaitingForTheLock: a Get that waits for another Get inside returns with its ctx, and the other goes on.
func TestCancelEndsWaitingForTheLock(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, nil)
		inside := test.Started(func() error { _, err := r.Get(t.Context()); return err })
		underWay(t, r.in, 1)
		cause := errors.New("out of patience")
		ctx, cancel := context.WithCancelCause(t.Context())
		var waiting []<-chan error
		for i := range 5 {
			waiting = append(waiting, test.Started(func() error { _, err := r.Get(ctx); return err }))
			underWay(t, r.in, i+2)
		}
		cancel(cause)
		for _, c := range waiting {
			test.Is(t, <-c, context.Canceled)
		}
		underWay(t, r.in, 1)
		test.Check(t, w.Put(t.Context(), nil))
		test.Check(t, <-inside)
	})
}

// TestDeadlineOfOneCtxLeavesLaterCallsAlone: a ctx that ended, before, behind or in the middle of its calls, wakes no other
// call into an error.
func TestDeadlineOfOneCtxLeavesLaterCallsAlone(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, nil)
		lasting, cancelLasting := context.WithCancel(t.Context())
		defer cancelLasting()
		for i := range test.Scaled(2000) {
			getCtx, cancelGet := context.WithCancel(t.Context())
			putCtx, cancelPut := context.WithCancel(t.Context())
			put := test.Started(func() error { return w.Put(putCtx, test.Stamped(0, i, 20)) })
			_, err := r.Get(getCtx)
			test.Check(t, err)
			test.Check(t, <-put)
			go cancelGet() // during the next calls
			go cancelPut()
			ctx := t.Context()
			if i%2 == 0 {
				ctx = lasting
			}
			put = test.Started(func() error { return w.Put(ctx, test.Stamped(0, i, 20)) })
			_, err = r.Get(ctx)
			test.Check(t, err)
			test.Check(t, <-put)
		}
	})
}

// TestCancelledCallsReturnPromptly: a Get on an empty channel and a Put into a full one return soon after their ctx ends.
func TestCancelledCallsReturnPromptly(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, nil)
		big := make([]byte, s.fill)
		promptly(t, "get", func(ctx context.Context) error { _, err := r.Get(ctx); return err })
		promptly(t, "all", func(ctx context.Context) error { return firstError(r, ctx) })
		promptly(t, "put", func(ctx context.Context) error { return w.Put(ctx, big) })
		if w.Stats().Queued > 0 { // a part of it was sent
			promptly(t, "flush", w.Flush)
		}
		promptly(t, "put behind it", func(ctx context.Context) error { return w.Put(ctx, big) })
	})
}

func promptly(t *testing.T, name string, call func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := call(ctx)
	test.Is(t, err, context.DeadlineExceeded)
	end, _ := ctx.Deadline()
	if late := time.Since(end); late > 2*time.Second {
		t.Errorf("%s returned %v after its ctx ended", name, late)
	}
}

func firstError(r *reader, ctx context.Context) error {
	for _, err := range r.All(ctx) {
		return err
	}
	return nil
}

// TestPartialPutArrives: a large Put that is cancelled halfway matches ErrPartial, arrives whole, before what is Put later.
func TestPartialPutArrives(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		for _, opts := range []*options{
			{},
			{Buffer: 100},
			{Copied: true},
		} {
			rs, ws := s.open(t)
			first := &firstRead{Reader: rs, Closer: rs}
			w := newWriter(ws, opts)
			message := bytes.Repeat(test.Pattern(1<<20), s.fill>>20)
			ctx, cancel := context.WithCancel(t.Context())
			put := test.Started(func() error { return w.Put(ctx, message) })
			first.wait(t)
			cancel()
			err := <-put
			test.Is(t, err, ErrPartial, context.Canceled)
			clear(message) // the caller's again
			later := test.Started(func() error { return errors.Join(w.Put(t.Context(), []byte("later")), w.Flush(t.Context())) })
			r := newReader(first, opts)
			v, err := r.Get(t.Context())
			test.Check(t, err)
			test.Bytes(t, v, bytes.Repeat(test.Pattern(1<<20), s.fill>>20))
			v, err = r.Get(t.Context())
			test.Check(t, err)
			test.Equal(t, string(v), "later")
			test.Check(t, <-later)
			test.Check(t, w.Close())
			test.Check(t, r.Close())
		}
	})
}

// firstRead gives its first byte back.
type firstRead struct {
	io.Reader
	io.Closer
}

// wait returns once a byte is there.
func (f *firstRead) wait(t *testing.T) {
	b := make([]byte, 1)
	_, err := io.ReadFull(f.Reader, b)
	test.Check(t, err)
	f.Reader = io.MultiReader(&oneByte{b: b}, f.Reader)
}

type oneByte struct{ b []byte }

func (o *oneByte) Read(p []byte) (int, error) {
	if len(o.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, o.b)
	o.b = o.b[n:]
	return n, nil
}
