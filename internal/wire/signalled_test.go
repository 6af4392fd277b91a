package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// signalled is a stream whose calls are often interrupted by a signal, as those of a stream that makes its system calls itself
// may be: before they have begun, or in the middle.
type signalled struct {
	io.ReadWriteCloser
	calls atomic.Int64
}

func (s *signalled) Read(p []byte) (int, error) {
	if s.calls.Add(1)%2 == 0 {
		return 0, syscall.EINTR
	}
	return s.ReadWriteCloser.Read(p)
}

func (s *signalled) Write(p []byte) (int, error) {
	switch s.calls.Add(1) % 3 {
	case 0:
		return 0, fmt.Errorf("write: %w", syscall.EINTR)
	case 1:
		n, err := s.ReadWriteCloser.Write(p[:len(p)/2])
		if err == nil {
			err = syscall.EINTR
		}
		return n, err
	}
	return s.ReadWriteCloser.Write(p)
}

// signalledConn has the deadlines of the connection under its stream.
type signalledConn struct {
	net.Conn
	stream *signalled
}

func (s *signalledConn) Read(p []byte) (int, error)  { return s.stream.Read(p) }
func (s *signalledConn) Write(p []byte) (int, error) { return s.stream.Write(p) }

// TestInterruptedSystemCallIsMadeAgain: it is no failure of the stream, and no reason for a call to end.
func TestInterruptedSystemCallIsMadeAgain(t *testing.T) {
	test.Bounded(t)
	for _, opts := range []*options{nil, {Buffer: 1000}, marked} {
		for name, of := range map[string]func(net.Conn) io.ReadWriteCloser{
			"deadlines":    func(c net.Conn) io.ReadWriteCloser { return &signalledConn{c, &signalled{ReadWriteCloser: c}} },
			"no deadlines": func(c net.Conn) io.ReadWriteCloser { return &signalled{ReadWriteCloser: c} },
		} {
			a, b := net.Pipe()
			r, w := newReader(of(a), opts), newWriter(of(b), opts)
			closeAtEnd(t, r, w)
			for i := range 20 {
				put := test.Started(func() error { return w.Put(t.Context(), test.Stamped(0, i, i*1000)) })
				v, err := r.Get(t.Context())
				test.Check(t, errors.Join(err, <-put))
				if _, seq := test.ReadStamp(t, v); seq != i {
					t.Errorf("%s: message %d in place of %d", name, seq, i)
				}
			}
		}
	}
}
