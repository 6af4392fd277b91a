package rivals

import (
	"bufio"
	"errors"
	"io"
	"sync"

	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// floorD is the floor for whatever gathers messages, as gipc does with Options.Buffer.
var floorD = links{
	name:   "floor D",
	about:  "by hand: a goroutine writes what has gathered in a buffer of 64 KiB",
	locked: true,
	shape:  frameShape,
	raw: func(r io.ReadCloser, w io.WriteCloser) work.Conn[[]byte] {
		return &frames{r: bufio.NewReaderSize(r, chunk), w: newFlusher(w)}
	},
	record: func(r io.ReadCloser, w io.WriteCloser) work.Conn[record.Record] {
		return &records{frames: frames{r: bufio.NewReaderSize(r, chunk), w: newFlusher(w)}}
	},
}.register()

// flusher gathers what is written. Its goroutine writes it to w and ends with Close.
type flusher struct {
	w       io.WriteCloser
	mu      sync.Mutex
	work    sync.Cond // the goroutine waits for: queued or closed
	room    sync.Cond // Writes wait for: the goroutine has taken queued, or failed
	queued  []byte
	writing bool
	closed  bool
	err     error // of w
	done    chan struct{}
}

func newFlusher(w io.WriteCloser) *flusher {
	f := &flusher{w: w, done: make(chan struct{})}
	f.work.L, f.room.L = &f.mu, &f.mu
	go f.run()
	return f
}

// Write waits while the buffer has no room, unless it is empty.
func (f *flusher) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queued) > 0 && len(f.queued)+len(p) > chunk && f.err == nil {
		f.room.Wait()
	}
	if f.err != nil {
		return 0, f.err
	}
	if f.queued = append(f.queued, p...); !f.writing {
		f.work.Signal()
	}
	return len(p), nil
}

func (f *flusher) run() {
	defer close(f.done)
	var spare []byte
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.err == nil {
		for len(f.queued) == 0 {
			if f.closed {
				return
			}
			f.work.Wait()
		}
		full := f.queued
		f.queued, f.writing = spare[:0], true
		f.room.Broadcast()
		f.mu.Unlock()
		_, err := f.w.Write(full)
		f.mu.Lock()
		spare, f.writing, f.err = full, false, err
	}
	f.room.Broadcast()
}

// Close writes what is left, and closes w.
func (f *flusher) Close() error {
	f.mu.Lock()
	f.closed = true
	f.work.Signal()
	f.mu.Unlock()
	<-f.done
	return errors.Join(f.err, f.w.Close())
}
