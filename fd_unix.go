//go:build unix

package gipc

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// newPipe returns the two ends of a pipe, non-blocking and close-on-exec.
func newPipe(size int) (r, w *os.File, err error) {
	r, w, err = os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if size > 0 {
		withFD(w, func(fd uintptr) { setPipeSize(fd, size) })
	}
	return r, w, nil
}

// newOutputPipe returns a pipe for a child's output.
func newOutputPipe() (r pipeEnd, w *os.File, err error) { return os.Pipe() }

// deadlinesTravel says whether a child that gets the stream's duplicate will have deadlines, as they are had here.
func deadlinesTravel(io.Closer) bool { return true }

// withFD runs f with f's descriptor. Unlike Fd, it leaves the descriptor's mode alone.
func withFD(file *os.File, f func(fd uintptr)) error {
	rc, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Control(f)
}

// fdNumber is for String; -1 where there is none.
func fdNumber(stream any) (n int) {
	n = -1
	if file, ok := stream.(*os.File); ok {
		_ = withFD(file, func(fd uintptr) { n = int(fd) })
	}
	return n
}

// fdReader reads a stream that has deadlines. Where it is a file, memory is borrowed only when bytes are there.
type fdReader struct {
	stream  io.Reader
	rc      syscall.RawConn // nil where the stream is no file
	attempt func(fd uintptr) bool
	call    *readCall
}

// readCall is what attempt works on; one at a time.
type readCall struct {
	mem lender
	n   int
	err error
}

func newFDReader(stream io.Reader) fdReader {
	r := fdReader{stream: stream}
	file, ok := stream.(*os.File)
	if !ok {
		return r
	}
	rc, err := file.SyscallConn()
	if err != nil {
		return r
	}
	call := &readCall{}
	r.rc, r.call, r.attempt = rc, call, call.attempt
	return r
}

func (r *fdReader) read(mem lender) (int, error) {
	if r.rc == nil {
		return readSome(r.stream, mem)
	}
	r.call.mem = mem
	if err := r.rc.Read(r.attempt); err != nil {
		return 0, err
	}
	switch {
	case r.call.err != nil:
		return 0, os.NewSyscallError("read", r.call.err)
	case r.call.n == 0:
		return 0, io.EOF
	}
	return r.call.n, nil
}

// attempt reads once; false makes the caller wait until the descriptor is readable.
func (c *readCall) attempt(fd uintptr) bool {
	p := c.mem.lend(false)
	for {
		c.n, c.err = syscall.Read(int(fd), p)
		if c.err != syscall.EINTR {
			break
		}
	}
	if c.n <= 0 {
		c.n = 0
		c.mem.unlend()
	}
	return c.err != syscall.EAGAIN
}

// maxWrite is the most bytes one write asks for: some systems refuse 2 GiB and more.
const maxWrite = 1 << 30

// newSink wraps w in the kind of sink that can do most with it.
func newSink(w io.WriteCloser) sink { return newStreamSink(withoutSIGPIPE(w)) }

// withoutSIGPIPE returns w, or a stand-in with another descriptor if w's is that of stdout or stderr: os.File.Write ends
// the program by SIGPIPE where one of these is a pipe that nobody reads any more.
func withoutSIGPIPE(w io.WriteCloser) io.WriteCloser {
	if n := fdNumber(w); n != syscall.Stdout && n != syscall.Stderr {
		return w
	}
	dup, err := duplicate(w)
	if err != nil {
		return w
	}
	return &standIn{dup, w}
}

type standIn struct {
	*os.File
	original io.Closer
}

func (s *standIn) Close() error { return errors.Join(s.File.Close(), s.original.Close()) }

// isPeerClosed says whether a write's error means that nobody can read any more.
func isPeerClosed(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
