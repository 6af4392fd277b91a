package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/fd"
)

// NewSink wraps w in the kind of sink that can do most with it. Of files and sockets, nothing says how much a cancelled
// write has written (MSDN, CancelIoEx and WSASend), so that theirs are never cancelled.
func NewSink(w io.WriteCloser) Sink {
	if f, ok := w.(*fd.Pipe); ok {
		return &pipeSink{pipe: f, measure: f.Room}
	}
	if _, handle := w.(syscall.Conn); handle {
		return &streamSink{stream: w}
	}
	return newStreamSink(w)
}

// pipeSink writes to a pipe. Nothing says how much of a cancelled write has reached a pipe (NPFS completes it with a count
// of 0), unless it was a single byte. So where there is no room for all, the first byte is written alone. Until it is in
// the pipe the write can be interrupted; from then on only close ends it.
type pipeSink struct {
	pipe    *fd.Pipe
	measure func() int // pipe.room, but in tests under Wine
	writes  uint64

	mu          sync.Mutex
	committed   bool // what is under way can't be interrupted
	interrupted bool // the write deadline is in the past
}

func (s *pipeSink) Write(_ context.Context, head, body []byte) (n int, err error) {
	if s.Room() < len(head)+len(body) {
		s.writes++
		n, err = s.pipe.Write(head[:1])
	}
	if !s.commit() {
		return n, ErrInterrupted
	}
	defer s.end()
	if err != nil {
		return n, err
	}
	m, err := writeBoth(s.pipe, head[n:], body, &s.writes)
	return n + m, err
}

// commit begins what can't be interrupted, unless there was an interrupt already.
func (s *pipeSink) commit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = !s.interrupted
	if s.interrupted {
		s.interrupted = false
		_ = s.pipe.SetWriteDeadline(time.Time{}) // fails only on a closed pipe, which shows when the write is tried again
	}
	return s.committed
}

func (s *pipeSink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = false
}

func (s *pipeSink) Interruptible() bool { return false }

func (s *pipeSink) Interrupt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.committed || s.pipe.SetWriteDeadline(longAgo) != nil {
		return false
	}
	s.interrupted = true
	return true
}

func (s *pipeSink) TryWrite(p []byte) (int, error) {
	if s.Room() < len(p) { // Wine's pipes never have any
		return 0, errors.ErrUnsupported
	}
	s.writes++
	return s.pipe.Write(p)
}

func (s *pipeSink) Calls() uint64 { return s.writes }

func (s *pipeSink) Room() int { return s.measure() }

func (s *pipeSink) Close() error { return s.pipe.Close() }

// IsPeerClosed says whether a write's error means that nobody can read any more.
func IsPeerClosed(err error) bool {
	for _, gone := range []error{
		windows.ERROR_NO_DATA, windows.ERROR_BROKEN_PIPE, windows.ERROR_PIPE_NOT_CONNECTED,
		windows.WSAECONNRESET, windows.WSAECONNABORTED,
	} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// tryWriteFile is TryWrite for a file: nothing tells whether it would wait.
func tryWriteFile(*os.File, []byte) (int, error) { return 0, errors.ErrUnsupported }
