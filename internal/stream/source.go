package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// ErrInterrupted is what a blocked read or write returns that was woken. Nothing is wrong: the caller looks at its ctx
// and its state again, and goes on if nothing keeps it from that.
var ErrInterrupted = errors.New("interrupted")

// ErrPanicked is the end of a stream whose own code panicked, on the goroutine of a call that this has ended.
var ErrPanicked = errors.New("the stream's own code panicked in an earlier call")

// ErrNonsense is the end of a stream through shared memory in which the other side has written what can't be.
var ErrNonsense = errors.New("the indexes in the shared memory make no sense")

// Source is the byte stream under a reading end. One goroutine at a time calls Read; the others may come at any time.
type Source interface {
	// Read waits for bytes and reads some of them into what mem lends. It returns ErrInterrupted when ctx ends and
	// after Interrupt; then no byte is lost: what arrives later is for the next Read.
	Read(ctx context.Context, mem Lender) (int, error)
	Interrupt()
	Close() error
	// Settled says whether no read goes on that a cancelled call has left behind. Then Leftover returns the bytes that
	// such a read brought in. Both only between calls of Read.
	Settled() bool
	Leftover() []byte
	// HasDeadlines says whether the stream has deadlines.
	HasDeadlines() bool
}

// Lender gives the memory to read into.
type Lender interface {
	// Lend returns it; waiting says that it will be held while no byte is there yet, so that it should be small.
	Lend(waiting bool) []byte
	// Unlend takes it back unused.
	Unlend()
	// Amid says whether more bytes are bound to come: the rest of what is there in part.
	Amid() bool
}

type readDeadliner interface{ SetReadDeadline(time.Time) error }

// NewSource wraps r in the kind of source that can do most with it.
func NewSource(r io.ReadCloser) Source {
	d, ok := r.(readDeadliner)
	if !ok || d.SetReadDeadline(time.Time{}) != nil {
		return &pumpSource{stream: r}
	}
	return &deadlineSource{stream: r, fd: newFDReader(r), wake: interrupter{setDeadline: d.SetReadDeadline}}
}

// deadlineSource reads a stream with deadlines: a pipe, a net.Conn.
type deadlineSource struct {
	stream io.ReadCloser
	fd     fdReader
	wake   interrupter
}

func (s *deadlineSource) Read(ctx context.Context, mem Lender) (int, error) {
	if !s.wake.arm(ctx) {
		return 0, ErrInterrupted
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

func (s *deadlineSource) Interrupt() { s.wake.fire() }

func (s *deadlineSource) Settled() bool { return true }

func (s *deadlineSource) Leftover() []byte { return nil }

func (s *deadlineSource) Close() error {
	s.wake.close()
	s.wake.fire() // a stream's own Close need not wake its Read, and may wait for it
	return s.stream.Close()
}

func (s *deadlineSource) HasDeadlines() bool { return true }

// Seeded returns a Source that has the bytes of seed before those of src.
func Seeded(src Source, seed []byte) Source { return &seededSource{Source: src, seed: seed} }

// seededSource is a source with some bytes before it.
type seededSource struct {
	Source
	seed []byte
}

func (s *seededSource) Read(ctx context.Context, mem Lender) (int, error) {
	if len(s.seed) == 0 {
		return s.Source.Read(ctx, mem)
	}
	n := copy(mem.Lend(false), s.seed)
	s.seed = s.seed[n:]
	return n, nil
}

func (s *seededSource) Leftover() []byte { return slices.Concat(s.seed, s.Source.Leftover()) }

// readSome reads into memory that is held while r blocks.
func readSome(r io.Reader, mem Lender) (int, error) {
	p := mem.Lend(true)
	n, err := r.Read(p)
	if n < 0 || n > len(p) {
		n, err = 0, fmt.Errorf("the stream's Read of %d bytes returned %d", len(p), n)
	}
	if n == 0 {
		mem.Unlend()
	}
	return n, err
}
