package ring

import (
	"context"
	"io"
	"os"

	"github.com/go-gipc/gipc/internal/stream"
)

// Source is the reading end of a ring.
type Source struct {
	*half
	consumer
	ended bool // the writer's end is gone: what is in the ring is all there is
}

var _ stream.Source = (*Source)(nil)

func newSource(p parts) (*Source, error) {
	h, s, err := newHalf(p)
	if err != nil {
		return nil, err
	}
	return &Source{half: h, consumer: newConsumer(s)}, nil
}

// Read reads what is there, up to what mem lends, and sleeps where nothing is.
func (s *Source) Read(ctx context.Context, mem stream.Lender) (int, error) {
	if !s.mem.enter() {
		return 0, os.ErrClosed
	}
	defer s.mem.leave()
	for {
		if ctx.Err() != nil { // a writer that never stops would keep a call for ever
			return 0, stream.ErrInterrupted
		}
		n, err := s.available()
		switch {
		case err != nil:
			return 0, err
		case n > 0:
			return s.take(mem, n), nil
		case s.ended:
			return 0, io.EOF
		}
		if err := s.sleep(ctx); err != nil {
			return 0, err
		}
	}
}

// take reads some of n bytes.
func (s *Source) take(mem stream.Lender, n int) int {
	b := mem.Lend(false)
	b = b[:min(n, len(b))]
	if s.copyOut(b) {
		_ = s.wakeOther() // if the writer is gone, await says so
	}
	return len(b)
}

// sleep waits until there may be something to read, or the writer's end is gone.
func (s *Source) sleep(ctx context.Context) error {
	sleep, err := s.fallAsleep()
	if sleep {
		err = s.await(ctx)
		s.asleep.Swap(0) // before closed is read: Close does it the other way round
	}
	if s.mem.closed.Load() {
		s.asleep.Store(1) // as Close has said
	}
	if err == io.EOF {
		s.ended = true
		return nil
	}
	return err
}

// Interrupt wakes a Read that sleeps, or else the next one that is about to.
func (s *Source) Interrupt() { s.bell.Interrupt() }

// Close closes this end. The writer is told that the reader sleeps, so that its next write rings and finds the pipe without a
// reader. If this end has only moved to another process, that is one byte too many for it.
func (s *Source) Close() error {
	if !s.mem.close() {
		return os.ErrClosed
	}
	defer s.mem.leave()
	err := s.close()
	s.asleep.Store(1)
	return err
}

// Settled is true: no read goes on behind a cancelled call.
func (s *Source) Settled() bool { return true }

// Leftover returns nothing.
func (s *Source) Leftover() []byte { return nil }

// HasDeadlines is true.
func (s *Source) HasDeadlines() bool { return true }
