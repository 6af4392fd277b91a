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
	w      io.WriteCloser
	mu     sync.Mutex
	change sync.Cond // of the fields below
	queued []byte
	closed bool
	err    error // of w
	done   chan struct{}
}

func newFlusher(w io.WriteCloser) *flusher {
	f := &flusher{w: w, done: make(chan struct{})}
	f.change.L = &f.mu
	go f.run()
	return f
}

// Write waits while the buffer has no room, unless it is empty.
func (f *flusher) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queued) > 0 && len(f.queued)+len(p) > chunk && f.err == nil {
		f.change.Wait()
	}
	if f.err != nil {
		return 0, f.err
	}
	if f.queued = append(f.queued, p...); len(f.queued) == len(p) {
		f.change.Broadcast()
	}
	return len(p), nil
}

func (f *flusher) run() {
	defer close(f.done)
	var spare []byte
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		for len(f.queued) == 0 && !f.closed {
			f.change.Wait()
		}
		if len(f.queued) == 0 || f.err != nil {
			return
		}
		full := f.queued
		f.queued = spare[:0]
		f.change.Broadcast()
		f.mu.Unlock()
		_, err := f.w.Write(full)
		f.mu.Lock()
		if spare = full; err != nil {
			f.err = err
			f.change.Broadcast()
		}
	}
}

// Close writes what is left, and closes w.
func (f *flusher) Close() error {
	f.mu.Lock()
	f.closed = true
	f.change.Broadcast()
	f.mu.Unlock()
	<-f.done
	return errors.Join(f.err, f.w.Close())
}
