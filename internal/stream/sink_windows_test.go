package stream

import (
	"context"
	"io"
	"sync/atomic"
	"testing"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// pipeOf returns a pipe whose write end is under a sink, and a function that makes it say that it has as much room as was
// last set, which Wine's never say.
func pipeOf(t *testing.T) (r fd.End, s *pipeSink, setRoom func(bytes int64)) {
	t.Helper()
	r, w, err := fd.NewPipe(0)
	test.Check(t, err)
	s = NewSink(w).(*pipeSink)
	t.Cleanup(func() { _, _ = r.Close(), s.Close() })
	var room atomic.Int64
	s.measure = func() int { return int(room.Load()) }
	return r, s, room.Store
}

func (s *pipeSink) isCommitted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

// TestPutMistakenAboutRoomArrivesWhole: where there is less room than the system said, a write can't be interrupted, says
// so, and arrives whole. A Put whose ctx ends leaves it behind then.
func TestPutMistakenAboutRoomArrivesWhole(t *testing.T) {
	test.Bounded(t)
	r, s, setRoom := pipeOf(t)
	message := test.Pattern(1 << 20) // more than the pipe holds
	setRoom(int64(len(message)))
	ctx, cancel := context.WithCancel(t.Context())
	var n int
	written := test.Started(func() (err error) { n, err = s.Write(ctx, message[:1000], message[1000:]); return err })
	test.Eventually(t, "a write that can't be interrupted", s.isCommitted)
	cancel()
	test.Equal(t, s.Interrupt(), false)
	got := make([]byte, len(message))
	_, err := io.ReadFull(r, got)
	test.Check(t, err)
	test.Check(t, <-written)
	test.Equal(t, n, len(message))
	test.Bytes(t, got, message)
	test.Check(t, s.Close())
	_, err = r.Read(make([]byte, 1))
	test.Equal(t, err, io.EOF)
}

// TestWriteWithRoomIsOneCall: elsewhere the first byte goes alone.
func TestWriteWithRoomIsOneCall(t *testing.T) {
	_, s, setRoom := pipeOf(t)
	for i, room := range []int64{1000, 100, 99, 0} {
		setRoom(room)
		before := s.Calls()
		n, err := s.Write(t.Context(), test.Pattern(100), nil)
		test.Check(t, err)
		test.Equal(t, n, 100)
		test.Equal(t, s.Calls()-before, []uint64{1, 1, 2, 2}[i])
	}
}

// TestWriteInAFullPipeIsInterrupted: until the first byte is in the pipe nothing is written, and a second try writes all.
func TestWriteInAFullPipeIsInterrupted(t *testing.T) {
	test.Bounded(t)
	r, s, _ := pipeOf(t)
	const size = 64 << 10 // what the pipe holds
	_, err := s.Write(t.Context(), test.Pattern(size), nil)
	test.Check(t, err)
	message := test.Pattern(size + 100)[size:]
	for range 20 {
		var n int
		written := test.Started(func() (err error) { n, err = s.Write(t.Context(), message, nil); return err })
		test.Equal(t, s.Interrupt(), true) // the write may not have begun: it is interrupted all the same
		test.Is(t, <-written, ErrInterrupted)
		test.Equal(t, n, 0)
	}
	written := test.Started(func() error { _, err := s.Write(t.Context(), message, nil); return err })
	got := make([]byte, size+len(message))
	_, err = io.ReadFull(r, got)
	test.Check(t, err)
	test.Check(t, <-written)
	test.Bytes(t, got, test.Pattern(len(got)))
}
