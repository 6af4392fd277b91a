package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// errInterrupted is what a blocked read or write returns that was woken. Nothing is wrong: the caller looks at its ctx
// and its state again, and goes on if nothing keeps it from that.
var errInterrupted = errors.New("interrupted")

// errStreamPanicked is the end of a stream whose own code panicked, on the goroutine of a call that this has ended.
var errStreamPanicked = errors.New("the stream's own code panicked in an earlier call")

// source is the byte stream under a reading end. One goroutine at a time calls read; the others may come at any time.
type source interface {
	// read waits for bytes and reads some of them into what mem lends. It returns errInterrupted when ctx ends and
	// after interrupt; then no byte is lost: what arrives later is for the next read.
	read(ctx context.Context, mem lender) (int, error)
	interrupt()
	close() error
	// settled says whether no read goes on that a cancelled call has left behind. Then leftover returns the bytes that
	// such a read brought in. Both only between reads.
	settled() bool
	leftover() []byte
}

// lender gives the memory to read into.
type lender interface {
	// lend returns it; waiting says that it will be held while no byte is there yet, so that it should be small.
	lend(waiting bool) []byte
	// unlend takes it back unused.
	unlend()
}

// sink is the byte stream under a writing end. One goroutine at a time calls write; the others may come at any time.
type sink interface {
	// write writes head, then body, and returns how many bytes of both are written. It returns early with
	// errInterrupted when ctx ends and after interrupt.
	write(ctx context.Context, head, body []byte) (int, error)
	// interruptible says whether ctx and interrupt always work. Where they don't, write may block until close.
	interruptible() bool
	// interrupt returns false if it can do nothing about the write under way.
	interrupt() bool
	// calls returns how often the stream's Write was called. Only between writes.
	calls() uint64
	// room returns how many bytes write surely takes without waiting, where it matters to know.
	room() int
	close() error
}

type readDeadliner interface{ SetReadDeadline(time.Time) error }

type writeDeadliner interface{ SetWriteDeadline(time.Time) error }

// newSource wraps r in the kind of source that can do most with it.
func newSource(r io.ReadCloser) source {
	d, ok := r.(readDeadliner)
	if !ok || d.SetReadDeadline(time.Time{}) != nil {
		return &pumpSource{stream: r}
	}
	return &deadlineSource{stream: r, fd: newFDReader(r), wake: interrupter{setDeadline: d.SetReadDeadline}}
}

// newStreamSink uses the deadlines of w if it has any.
func newStreamSink(w io.WriteCloser) *streamSink {
	s := &streamSink{stream: w}
	if d, ok := w.(writeDeadliner); ok && d.SetWriteDeadline(time.Time{}) == nil {
		s.wake = interrupter{setDeadline: d.SetWriteDeadline}
	}
	return s
}

// deadlineSource reads a stream with deadlines: a pipe, a net.Conn.
type deadlineSource struct {
	stream io.ReadCloser
	fd     fdReader
	wake   interrupter
}

func (s *deadlineSource) read(ctx context.Context, mem lender) (int, error) {
	if !s.wake.arm(ctx) {
		return 0, errInterrupted
	}
	n, err := s.fd.read(mem)
	if n > 0 {
		err = nil // one that lasts comes again
	} else {
		err = s.wake.settle(err)
	}
	s.wake.disarm()
	return n, err
}

func (s *deadlineSource) interrupt() { s.wake.fire() }

func (s *deadlineSource) settled() bool { return true }

func (s *deadlineSource) leftover() []byte { return nil }

func (s *deadlineSource) close() error {
	s.wake.close()
	return s.stream.Close()
}

// streamSink writes to any stream; to one with deadlines interruptibly.
type streamSink struct {
	stream io.WriteCloser
	wake   interrupter
	writes uint64
}

// write makes its one system call, in the common case, with as few calls around it as possible: returning from each costs
// some 10 ns where a system call has spoilt the processor's predictions.
func (s *streamSink) write(ctx context.Context, head, body []byte) (n int, err error) {
	if !s.wake.arm(ctx) {
		return 0, errInterrupted
	}
	if len(body) > 0 || len(head) > chunkSize {
		n, err = writeBoth(s.stream, head, body, &s.writes)
		err = s.wake.settle(err)
	} else {
		s.writes++
		if n, err = s.stream.Write(head); n != len(head) || err != nil {
			n, err = checkWritten(n, len(head), err)
			err = s.wake.settle(err)
		}
	}
	s.wake.disarm()
	return n, err
}

func (s *streamSink) interruptible() bool { return s.wake.setDeadline != nil }

func (s *streamSink) interrupt() bool {
	if s.interruptible() {
		s.wake.fire()
	}
	return s.interruptible()
}

func (s *streamSink) calls() uint64 { return s.writes }

func (s *streamSink) room() int { return math.MaxInt }

func (s *streamSink) close() error {
	s.wake.close()
	return s.stream.Close()
}

// readSome reads into memory that is held while r blocks.
func readSome(r io.Reader, mem lender) (int, error) {
	p := mem.lend(true)
	n, err := r.Read(p)
	if n < 0 || n > len(p) {
		n, err = 0, fmt.Errorf("the stream's Read of %d bytes returned %d", len(p), n)
	}
	if n == 0 {
		mem.unlend()
	}
	return n, err
}

// writeBoth writes head, then body, if there is any, and counts its writes.
func writeBoth(w io.Writer, head, body []byte, writes *uint64) (int, error) {
	n, err := writePieces(w, head, writes)
	if err != nil {
		return n, err
	}
	m, err := writePieces(w, body, writes)
	return n + m, err
}

// writePieces writes p in pieces that the system takes well: of at most maxWrite bytes, and in whole pages if long.
func writePieces(w io.Writer, p []byte, writes *uint64) (written int, err error) {
	for len(p) > 0 && err == nil {
		piece := p[:min(len(p), maxWrite)]
		if len(piece) > chunkSize {
			piece = piece[:len(piece)&^(pageSize-1)]
		}
		*writes++
		var n int
		n, err = w.Write(piece)
		n, err = checkWritten(n, len(piece), err)
		p = p[n:]
		written += n
	}
	return written, err
}

// checkWritten takes no stream's word for more bytes than its Write was given, or for an end without an error.
func checkWritten(n, given int, err error) (int, error) {
	switch {
	case n < 0 || n > given:
		return 0, fmt.Errorf("the stream's Write of %d bytes returned %d", given, n)
	case n < given && err == nil:
		return n, io.ErrShortWrite
	}
	return n, err
}

// pumpSource reads a stream without deadlines. A goroutine of its own sits in each Read, so that a Get can leave when its
// ctx ends; what that Read brings in later goes to the next Get. There is at most one, and it ends with its Read.
type pumpSource struct {
	stream io.ReadCloser

	// Used only by the goroutine inside read, as are the fields of what it receives from results.
	results chan pumped   // nil until the first read
	kicked  chan struct{} // interrupt
	once    sync.Once     // makes both
	waiting bool          // a Read is under way
	busy    bool          // the last Read filled its chunk: the next one gets a large one
	got     pumped        // received, not yet read out
}

// pumped is what one Read returned.
type pumped struct {
	chunk []byte // borrowed
	data  []byte // part of chunk that is not read out
	full  bool   // it filled the chunk
	err   error
}

func (s *pumpSource) init() {
	s.once.Do(func() {
		s.results, s.kicked = make(chan pumped, 1), make(chan struct{}, 1)
	})
}

func (s *pumpSource) read(ctx context.Context, mem lender) (int, error) {
	s.init()
	if len(s.got.data) == 0 && s.got.err == nil {
		if !s.waiting {
			s.waiting = true
			go s.pump(s.busy)
		}
		select {
		case s.got = <-s.results:
			s.waiting, s.busy = false, s.got.full
		case <-ctx.Done():
			return 0, errInterrupted
		case <-s.kicked:
			return 0, errInterrupted
		}
	}
	if len(s.got.data) == 0 {
		err := s.got.err
		s.got = pumped{}
		return 0, err
	}
	n := copy(mem.lend(false), s.got.data)
	s.got.data = s.got.data[n:]
	if len(s.got.data) == 0 && s.got.chunk != nil {
		returnChunk(s.got.chunk)
		s.got.chunk, s.got.data = nil, nil
	}
	return n, nil
}

func (s *pumpSource) pump(busy bool) {
	borrow := borrowSmallChunk // held for as long as nothing comes
	if busy {
		borrow = borrowChunk
	}
	chunk := borrow()
	n, err := s.stream.Read(chunk)
	if n < 0 || n > len(chunk) {
		n, err = 0, fmt.Errorf("the stream's Read of %d bytes returned %d", len(chunk), n)
	}
	result := pumped{chunk: chunk, data: chunk[:n], full: n == len(chunk), err: err}
	if n == 0 {
		returnChunk(chunk)
		result.chunk, result.data = nil, nil
	}
	s.results <- result
}

func (s *pumpSource) interrupt() {
	s.init()
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

func (s *pumpSource) settled() bool {
	s.init()
	if s.waiting && len(s.results) > 0 {
		s.got, s.waiting = <-s.results, false
	}
	return !s.waiting
}

func (s *pumpSource) leftover() []byte { return s.got.data }

func (s *pumpSource) close() error {
	s.interrupt() // a stream's Close need not wake its Read, and may wait for it
	return s.stream.Close()
}
