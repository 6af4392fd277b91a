package gipc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestGetIntoReusesMemory: a message goes into the memory that is there if it is enough, whatever its size, and a
// cancelled GetInto leaves no trace of it in memory that is the caller's again.
func TestGetIntoReusesMemory(t *testing.T) {
	bounded(t)
	rs, ws := io.Pipe()
	r := NewReader(&withDeadlines{rs}, rawOptions)
	feed := func(parts ...[]byte) {
		go func() {
			for _, p := range parts {
				_, _ = ws.Write(p) // fails only when the test has failed
			}
		}()
	}
	for _, size := range []int{0, 100, chunkSize, 200 << 10} {
		mem := make([]byte, 7, 300<<10)
		v := mem
		feed(appendFrame(nil, pattern(size)))
		check(t, r.GetInto(t.Context(), &v))
		checkBytes(t, v, pattern(size))
		if &v[:1][0] != &mem[0] {
			t.Errorf("a message of %d bytes got new memory", size)
		}
	}
}

// TestMemoryOfCancelledGetIntoIsTheCallers: what later arrives of its message isn't written there.
func TestMemoryOfCancelledGetIntoIsTheCallers(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		rs, ws := s.open(t)
		r := NewReader(rs, rawOptions)
		t.Cleanup(func() { _ = r.Close() })
		frame := appendFrame(nil, pattern(200<<10))
		ctx, cancel := context.WithCancel(t.Context())
		mine := make([]byte, 300<<10)
		got := started(func() error { v := mine; return r.GetInto(ctx, &v) })
		_, err := ws.Write(frame[:100<<10])
		check(t, err)
		cancel()
		checkIs(t, <-got, context.Canceled)
		clear(mine)
		rest := started(func() error { _, err := ws.Write(frame[100<<10:]); return err })
		v, err := r.Get(t.Context())
		check(t, errors.Join(err, <-rest))
		checkBytes(t, v, pattern(200<<10))
		checkBytes(t, mine, make([]byte, len(mine)))
		check(t, ws.Close())
	})
}

// TestNothingIsAllocatedPerMessage: in steady state, for the types that promise it, with any ctx that is used again.
func TestNothingIsAllocatedPerMessage(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector empties pools at random")
	}
	cancellable, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, ctx := range map[string]context.Context{"background": context.Background(), "cancellable": cancellable} {
		t.Run(name, func(t *testing.T) {
			message := bytes.Clone(pattern(64))
			allocationFree(t, ctx, "Raw", rawOptions, message)
			allocationFree(t, ctx, "Raw with Buffer", &Options[[]byte]{Codec: Raw{}, Buffer: 1000}, message)
			allocationFree(t, ctx, "Raw, 50 kB", rawOptions, bytes.Clone(pattern(50_000)))
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
	r, w, err := Pipe(opts)
	check(t, err)
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

// TestIdleEndsHoldNoBuffers: an idle channel costs a few kilobytes, also while a Get waits, so that ten thousand are cheap.
func TestIdleEndsHoldNoBuffers(t *testing.T) {
	for _, s := range []struct {
		name  string
		n     int
		limit uint64 // bytes of heap for each channel
		open  func() (io.ReadCloser, io.WriteCloser)
	}{
		{"os.Pipe", 400, 5000, func() (io.ReadCloser, io.WriteCloser) {
			r, w, err := newPipe(0)
			check(t, err)
			return r, w
		}},
		{"net.Pipe", 2000, 6000, byteStreamNamed("net.Pipe", t)},
		{"io.Pipe", 2000, 6000, byteStreamNamed("io.Pipe", t)},
	} {
		t.Run(s.name, func(t *testing.T) {
			bounded(t)
			n := scaled(s.n)
			ctx, cancel := context.WithCancel(t.Context())
			message := pattern(64 << 10)
			before := heap()
			var waiting sync.WaitGroup
			ends := make([]func() error, 0, n)
			for range n {
				rs, ws := s.open()
				r, w := NewReader(rs, rawOptions), NewWriter(ws, rawOptions)
				wait := started(func() error { return w.Put(ctx, message) })
				_, err := r.Get(ctx) // so that it has had something to keep
				check(t, errors.Join(err, <-wait))
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
				check(t, end())
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
	bounded(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const n = 50
	var collected atomic.Int64
	for range n {
		r, w, err := Pipe(rawOptions)
		check(t, err)
		check(t, w.Put(ctx, pattern(10)))
		_, err = r.Get(ctx)
		check(t, err)
		count := func(*atomic.Int64) { collected.Add(1) }
		runtime.AddCleanup(r.in, count, nil)
		runtime.AddCleanup(w.out, count, nil)
	}
	eventually(t, "all are collected", func() bool {
		runtime.GC()
		return collected.Load() >= 2*n-2 // the last may still be on the stack
	})
}
