package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// Sink is the byte stream under a writing end. One goroutine at a time calls Write; the others may come at any time.
type Sink interface {
	// Write writes head, then body, and returns how many bytes of both are written. It returns early with
	// ErrInterrupted when ctx ends and after Interrupt.
	Write(ctx context.Context, head, body []byte) (int, error)
	// TryWrite writes what there is room for now. It returns ErrInterrupted where that is not all of p, and
	// errors.ErrUnsupported, without having written, where nothing tells: then Write goes on with the rest.
	TryWrite(p []byte) (int, error)
	// Interruptible says whether ctx and Interrupt always work. Where they don't, Write may block until Close.
	Interruptible() bool
	// Interrupt returns false if it can do nothing about the Write under way.
	Interrupt() bool
	// Calls returns how often the stream's own Write was called. Only between calls of Write.
	Calls() uint64
	// Room returns how many bytes Write surely takes without waiting, where it matters to know.
	Room() int
	Close() error
}

// Instant is a Sink that mostly writes without a system call, and never waits where it is asked not to.
type Instant interface {
	Sink
	// WriteNow writes all of head and body if there is room for them now. Otherwise, and after a failure, it returns false:
	// then Write tells. It takes no longer than to copy some pages, so that it may be called under a lock. It is not called
	// while another Write goes on, or once Close may have been.
	WriteNow(head, body []byte) bool
}

type writeDeadliner interface{ SetWriteDeadline(time.Time) error }

// newStreamSink uses the deadlines of w if it has any.
func newStreamSink(w io.WriteCloser) *streamSink {
	s := &streamSink{stream: w}
	if d, ok := w.(writeDeadliner); ok && !breaks(w) && d.SetWriteDeadline(time.Time{}) == nil {
		s.wake = interrupter{setDeadline: d.SetWriteDeadline}
	}
	return s
}

// breaks says whether a stream is broken for good by a write that met its deadline, as a TLS connection is.
func breaks(w io.Writer) bool {
	_, tls := w.(interface{ Handshake() error })
	return tls
}

// streamSink writes to any stream; to one with deadlines interruptibly.
type streamSink struct {
	stream io.WriteCloser
	wake   interrupter
	writes uint64
	growth growth
}

// Write makes its one system call, in the common case, with as few calls around it as possible: returning from each costs
// some 10 ns where a system call has spoilt the processor's predictions.
func (s *streamSink) Write(ctx context.Context, head, body []byte) (n int, err error) {
	if !s.wake.arm(ctx) {
		return 0, ErrInterrupted
	}
	if above := s.growth.above; above > 0 && len(head)+len(body) > above {
		s.fit(len(head) + len(body))
	}
	if len(body) > 0 || len(head) > ChunkSize {
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

func (s *streamSink) TryWrite(p []byte) (n int, err error) {
	f, ok := s.stream.(*os.File)
	if !ok || !s.Interruptible() {
		return 0, errors.ErrUnsupported
	}
	s.writes++
	s.wake.clear() // of an interrupt that came too late
	return tryWriteFile(f, p)
}

func (s *streamSink) Interruptible() bool { return s.wake.setDeadline != nil }

func (s *streamSink) Interrupt() bool {
	if s.Interruptible() {
		s.wake.fire()
	}
	return s.Interruptible()
}

func (s *streamSink) Calls() uint64 { return s.writes }

func (s *streamSink) Room() int { return math.MaxInt }

func (s *streamSink) Close() error {
	s.wake.close()
	s.release()
	return s.stream.Close()
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
		if len(piece) > ChunkSize {
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
