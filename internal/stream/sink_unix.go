//go:build unix

package stream

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-gipc/gipc/internal/fd"
)

// maxWrite is the most bytes one write asks for: some systems refuse 2 GiB and more.
const maxWrite = 1 << 30

// NewSink wraps w in the kind of sink that can do most with it.
func NewSink(w io.WriteCloser) Sink { return newStreamSink(withoutSIGPIPE(w)) }

// withoutSIGPIPE returns w, or a stand-in with another descriptor if w's is that of stdout or stderr: os.File.Write ends
// the program by SIGPIPE where one of these is a pipe that nobody reads any more. A stream that wraps one of them does its
// own writes, so that it keeps its descriptor, and the program the signal: it must not act on it.
func withoutSIGPIPE(w io.WriteCloser) io.WriteCloser {
	if n := descriptor(w); n != syscall.Stdout && n != syscall.Stderr {
		return w
	}
	if _, bare := w.(*os.File); !bare {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // unlike Ignore, it changes nothing for other processes
		return w
	}
	dup, err := fd.Duplicate(w)
	if err != nil {
		return w
	}
	return &standIn{dup, w}
}

// descriptor returns that of a stream which has one, or wraps one that has, or -1.
func descriptor(w io.Writer) (n int) {
	n = -1
	if c, ok := w.(syscall.Conn); ok {
		if rc, err := c.SyscallConn(); err == nil {
			_ = rc.Control(func(fd uintptr) { n = int(fd) })
		}
	}
	return n
}

type standIn struct {
	*os.File
	original io.Closer
}

func (s *standIn) Close() error { return errors.Join(s.File.Close(), s.original.Close()) }

// IsPeerClosed says whether a write's error means that nobody can read any more.
func IsPeerClosed(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// tryWriteFile is TryWrite for a file that doesn't block.
func tryWriteFile(f *os.File, p []byte) (n int, err error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var errWrite error
	err = rc.Write(func(fd uintptr) bool {
		for {
			n, errWrite = syscall.Write(int(fd), p)
			if errWrite != syscall.EINTR {
				return true
			}
		}
	})
	n = max(n, 0)
	if err == nil {
		err = errWrite
	}
	if err == syscall.EAGAIN || err == nil && n < len(p) {
		err = ErrInterrupted
	}
	return n, err
}
