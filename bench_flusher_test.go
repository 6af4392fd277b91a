package gipc

import (
	"io"
	"sync"
	"testing"
	"time"
)

// flusher is what one would write by hand where a write for each message costs too much: a goroutine writes what has gathered.
type flusher struct {
	w       io.Writer
	limit   int // bytes
	mu      sync.Mutex
	changed sync.Cond
	queue   []byte
	writing bool
	closed  bool
	err     error
}

func newFlusher(w io.Writer, limit int) *flusher {
	f := &flusher{w: w, limit: limit}
	f.changed.L = &f.mu
	go f.run()
	return f
}

func (f *flusher) put(frame []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue)+len(frame) > f.limit && f.err == nil {
		f.changed.Wait()
	}
	f.queue = append(f.queue, frame...)
	if !f.writing {
		f.changed.Signal()
	}
	return f.err
}

func (f *flusher) run() {
	var spare []byte
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.err == nil {
		for len(f.queue) == 0 {
			if f.closed {
				return
			}
			f.changed.Wait()
		}
		gathered := f.queue
		f.queue, f.writing = spare[:0], true
		f.changed.Signal()
		f.mu.Unlock()
		_, err := f.w.Write(gathered)
		f.mu.Lock()
		spare, f.writing, f.err = gathered, false, err
	}
	f.changed.Broadcast()
}

func (f *flusher) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.changed.Broadcast()
}

// flusherStream is floorStream with a flusher.
func flusherStream(b *testing.B, size, limit int) (_ stream, stop func()) {
	in, w := pipe(b)
	ackR, ack := pipe(b)
	cmd := startFloor(b, "sink", in, ack)
	frame := append(appendHeader(nil, size), make([]byte, size)...)
	f := newFlusher(w, limit)
	return func(n int) time.Duration {
			start := time.Now()
			frame[shortHeader] = 0
			for i := range n {
				if i == n-1 {
					frame[shortHeader] = lastMark
				}
				if err := f.put(frame); err != nil {
					b.Fatal(err)
				}
			}
			awaitAck(b, ackR)
			return time.Since(start)
		}, func() {
			f.close()
			w.Close()
			ackR.Close()
			if err := cmd.Wait(); err != nil {
				b.Fatal(err)
			}
		}
}

// BenchmarkRatioFlusher compares Options.Buffer with a flusher by hand.
func BenchmarkRatioFlusher(b *testing.B) {
	const buffer = 64 << 10
	for _, size := range []int{64, 1 << 10} {
		b.Run(sizeName(size)+"/buffer=64KiB", func(b *testing.B) {
			floor, stopFloor := flusherStream(b, size, buffer)
			ours, stopOurs := ourStream(b, size, 1, Options[[]byte]{Buffer: buffer})
			ratio(b, 200_000, floor, ours)
			stopOurs()
			stopFloor()
		})
	}
}
