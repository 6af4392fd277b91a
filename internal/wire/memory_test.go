package wire

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
)

// TestGetIntoReusesMemory: a message goes into the memory that is there if it is enough, whatever its size, and a
// cancelled GetInto leaves no trace of it in memory that is the caller's again.
func TestGetIntoReusesMemory(t *testing.T) {
	test.Bounded(t)
	rs, ws := io.Pipe()
	r := newReader(&withDeadlines{rs}, nil)
	feed := func(parts ...[]byte) {
		go func() {
			for _, p := range parts {
				_, _ = ws.Write(p) // fails only when the test has failed
			}
		}()
	}
	for _, size := range []int{0, 100, stream.ChunkSize, 200 << 10} {
		mem := make([]byte, 7, 300<<10)
		v := mem
		feed(appendFrame(nil, test.Pattern(size)))
		test.Check(t, r.GetInto(t.Context(), &v))
		test.Bytes(t, v, test.Pattern(size))
		if &v[:1][0] != &mem[0] {
			t.Errorf("a message of %d bytes got new memory", size)
		}
	}
}

// TestMemoryOfCancelledGetIntoIsTheCallers: what later arrives of its message isn't written there.
func TestMemoryOfCancelledGetIntoIsTheCallers(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		rs, ws := s.open(t)
		r := newReader(rs, nil)
		t.Cleanup(func() { _ = r.Close() })
		frame := appendFrame(nil, test.Pattern(200<<10))
		ctx, cancel := context.WithCancel(t.Context())
		mine := make([]byte, 300<<10)
		got := test.Started(func() error { v := mine; return r.GetInto(ctx, &v) })
		_, err := ws.Write(frame[:100<<10])
		test.Check(t, err)
		cancel()
		test.Is(t, <-got, context.Canceled)
		clear(mine)
		rest := test.Started(func() error { _, err := ws.Write(frame[100<<10:]); return err })
		v, err := r.Get(t.Context())
		test.Check(t, errors.Join(err, <-rest))
		test.Bytes(t, v, test.Pattern(200<<10))
		test.Bytes(t, mine, make([]byte, len(mine)))
		test.Check(t, ws.Close())
	})
}

// TestGetIntoAfterACancelledOneIsTheCallers: a call in between takes the rest of its message, and a small message that a GetInto
// returns then is the caller's memory, not the end's.
func TestGetIntoAfterACancelledOneIsTheCallers(t *testing.T) {
	rs, ws := openPipe(t, 0)
	r := newReader(rs, nil)
	t.Cleanup(func() { _ = r.Close() })
	write := func(p []byte) <-chan error {
		return test.Started(func() error { _, err := ws.Write(p); return err })
	}
	frame := appendFrame(nil, test.Pattern(200<<10))
	ctx, cancel := context.WithCancel(t.Context())
	got := test.Started(func() error { var v []byte; return r.GetInto(ctx, &v) })
	test.Check(t, <-write(frame[:100<<10]))
	cancel()
	test.Is(t, <-got, context.Canceled)
	rest := write(appendFrame(frame[100<<10:], []byte("small")))
	v, err := r.in.Next(t.Context())
	test.Check(t, errors.Join(err, <-rest))
	test.Bytes(t, v, test.Pattern(200<<10))
	r.in.Done(len(v))
	var small []byte
	test.Check(t, r.GetInto(t.Context(), &small))
	for range 5 { // the end uses its memory for them, again and again
		filled := write(appendFrame(nil, test.Pattern(60<<10)))
		_, err := r.Get(t.Context())
		test.Check(t, errors.Join(err, <-filled))
	}
	test.Equal(t, string(small), "small")
	test.Check(t, ws.Close())
}

// TestIdleEndsHoldNoBuffers: an idle channel costs a few kilobytes, also while a Get waits, so that ten thousand are cheap.
func TestIdleEndsHoldNoBuffers(t *testing.T) {
	for _, s := range []struct {
		name  string
		n     int
		limit uint64 // bytes of heap for each channel
		open  func() (io.ReadCloser, io.WriteCloser)
	}{
		{"os.Pipe", 400, 5000, func() (io.ReadCloser, io.WriteCloser) {
			r, w, err := fd.NewPipe(0)
			test.Check(t, err)
			return r, w
		}},
		{"net.Pipe", 2000, 6000, byteStreamNamed("net.Pipe", t)},
		{"io.Pipe", 2000, 6000, byteStreamNamed("io.Pipe", t)},
	} {
		t.Run(s.name, func(t *testing.T) {
			test.Bounded(t)
			n := max(50, test.Scaled(s.n)) // fewer would have to bear what is there once
			ctx, cancel := context.WithCancel(t.Context())
			message := test.Pattern(64 << 10)
			before := heap()
			var waiting sync.WaitGroup
			ends := make([]func() error, 0, n)
			for range n {
				rs, ws := s.open()
				r, w := newReader(rs, nil), newWriter(ws, nil)
				wait := test.Started(func() error { return w.Put(ctx, message) })
				_, err := r.Get(ctx) // so that it has had something to keep
				test.Check(t, errors.Join(err, <-wait))
				waiting.Go(func() { _, _ = r.Get(ctx) }) // until the end
				underWay(t, r.in, 1)
				ends = append(ends, func() error { return errors.Join(w.Close(), r.Close()) })
			}
			each := (heap() - before) / uint64(n)
			t.Logf("%d bytes of heap for each idle channel", each)
			if each > s.limit {
				t.Errorf("%d bytes of heap for each idle channel, limit %d", each, s.limit)
			}
			cancel()
			waiting.Wait()
			for _, end := range ends {
				test.Check(t, end())
			}
		})
	}
}

func byteStreamNamed(name string, t *testing.T) func() (io.ReadCloser, io.WriteCloser) {
	for _, s := range byteStreams {
		if s.name == name {
			return func() (io.ReadCloser, io.WriteCloser) { return s.open(t) }
		}
	}
	panic(name)
}

// heap is the size of what is reachable.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // pools give up what they hold in two steps
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestDroppedEndsAreCollected: an end that is dropped without Close is collected, though the ctx of its calls lives on.
func TestDroppedEndsAreCollected(t *testing.T) {
	test.Bounded(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const n = 50
	var collected atomic.Int64
	for range n {
		rs, ws := openPipe(t, 0)
		r, w := newReader(rs, nil), newWriter(ws, nil)
		test.Check(t, w.Put(ctx, test.Pattern(10)))
		_, err := r.Get(ctx)
		test.Check(t, err)
		count := func(*atomic.Int64) { collected.Add(1) }
		runtime.AddCleanup(r.in, count, nil)
		runtime.AddCleanup(w.out, count, nil)
	}
	test.Eventually(t, "all are collected", func() bool {
		runtime.GC()
		return collected.Load() >= 2*n-2 // the last may still be on the stack
	})
}
