package ring

import (
	"context"
	"io"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/go-gipc/gipc/internal/stream"
)

// Sink is the writing end of a ring.
type Sink struct {
	*half
	producer
	gone        error       // why nobody reads any more
	interrupted atomic.Bool // an Interrupt that no Write has seen
	writes      uint64
}

var _ stream.Instant = (*Sink)(nil)

func newSink(p parts) (*Sink, error) {
	h, s, err := newHalf(p)
	if err != nil {
		return nil, err
	}
	return &Sink{half: h, producer: newProducer(s)}, nil
}

// step is how many bytes are copied before the reader gets to see them, so that it copies them out meanwhile.
const step = 128 << 10

// Write writes head, then body. What fits into the ring is written as a whole, once there is room for it. More than that goes
// through it in pieces.
func (s *Sink) Write(ctx context.Context, head, body []byte) (n int, err error) {
	if !s.mem.enter() {
		return 0, os.ErrClosed
	}
	defer s.mem.leave()
	s.writes++
	whole := len(head)+len(body) <= len(s.data)
	for len(head)+len(body) > 0 {
		if err := s.hindered(ctx); err != nil {
			return n, err
		}
		rest := len(head) + len(body)
		free, err := s.room(rest)
		if err != nil {
			return n, err
		}
		if free < rest && whole || free == 0 {
			if err := s.sleep(ctx, s.worthWaking(rest, whole)); err != nil {
				return n, err
			}
			continue
		}
		m := min(rest, free)
		if !whole {
			m = min(m, step) // Close and ctx are looked at in between
		}
		if err := s.copyBoth(head, body, m); err != nil {
			return n, err
		}
		n += m
		head, body = cut(head, body, m)
	}
	return n, nil
}

// hindered says why a Write must not go on.
func (s *Sink) hindered(ctx context.Context) error {
	switch {
	case s.gone != nil:
		return s.gone
	case s.mem.closed.Load():
		return os.ErrClosed
	case ctx.Err() != nil || s.interrupted.Load() && s.interrupted.Swap(false):
		return stream.ErrInterrupted
	}
	return nil
}

// copyBoth copies the first n bytes of head and body, for which there is room.
func (s *Sink) copyBoth(head, body []byte, n int) error {
	for n > 0 {
		m := min(n, step)
		first := min(m, len(head))
		s.copyIn(head[:first])
		s.copyIn(body[:m-first])
		head, body = cut(head, body, m)
		n -= m
		if s.publish() {
			if err := s.wakeOther(); err != nil {
				s.gone = err
				return err
			}
		}
	}
	return nil
}

// cut takes the first n bytes off head and body.
func cut(head, body []byte, n int) (_, _ []byte) {
	if n < len(head) {
		return head[n:], body
	}
	return nil, body[n-len(head):]
}

// worthWaking returns for how much room a Write waits that has to wait at all: half of the ring, so that it is not woken for each
// message that is read, or what it needs.
func (s *Sink) worthWaking(rest int, whole bool) int {
	half := len(s.data) / 2
	if whole {
		return max(half, rest)
	}
	return min(half, rest)
}

// sleep waits until n bytes may be free.
func (s *Sink) sleep(ctx context.Context, n int) error {
	sleep, err := s.want(n)
	if !sleep {
		return err
	}
	err = s.await(ctx)
	s.wanted.Store(0)
	if err == io.EOF {
		s.gone = syscall.EPIPE
		return s.gone
	}
	return err
}

// WriteNow writes all of head and body if there is room for it, or nothing.
func (s *Sink) WriteNow(head, body []byte) bool {
	n := len(head) + len(body)
	if n > step || s.gone != nil {
		return false
	}
	if free, err := s.room(n); err != nil || free < n {
		return false
	}
	s.writes++
	return s.copyBoth(head, body, n) == nil
}

// TryWrite writes p if there is room for all of it now.
func (s *Sink) TryWrite(p []byte) (int, error) {
	if !s.mem.enter() {
		return 0, os.ErrClosed
	}
	defer s.mem.leave()
	switch {
	case s.WriteNow(p, nil):
		return len(p), nil
	case s.gone != nil:
		return 0, s.gone
	}
	return 0, stream.ErrInterrupted
}

// Interruptible is true: ctx and Interrupt always work.
func (s *Sink) Interruptible() bool { return true }

// Interrupt ends the Write under way, or else the next one.
func (s *Sink) Interrupt() bool {
	s.interrupted.Store(true)
	s.bell.Interrupt()
	return true
}

// Calls returns how often bytes were written.
func (s *Sink) Calls() uint64 { return s.writes }

// Room returns the capacity: what fits into the ring is written as a whole or not at all.
func (s *Sink) Room() int { return len(s.data) }

// Close closes this end.
func (s *Sink) Close() error {
	if !s.mem.close() {
		return os.ErrClosed
	}
	defer s.mem.leave()
	return s.close()
}
