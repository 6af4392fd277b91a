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
func newOutputPipe() (r, w *os.File, err error) { return os.Pipe() }

// deadlinesTravel says whether a child that gets the stream's duplicate will have deadlines, as they are had here.
func deadlinesTravel(io.Closer) bool { return true }

// cancelsWrites says whether a write that a deadline ends tells how much it has written.
func cancelsWrites(io.Writer) bool { return true }

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

// fdWriter writes to any stream. A file is written to without os.File.Write, which would end the program by SIGPIPE when
// descriptor 1 or 2 is a pipe that nobody reads any more.
type fdWriter struct {
	stream  io.Writer
	rc      syscall.RawConn // nil where the stream is no file
	attempt func(fd uintptr) bool
	call    *writeCall
}

// writeCall is what attempt works on; one at a time.
type writeCall struct {
	head, body []byte
	err        error
}

func newFDWriter(stream io.Writer) fdWriter {
	w := fdWriter{stream: stream}
	file, ok := stream.(*os.File)
	if !ok {
		return w
	}
	rc, err := file.SyscallConn()
	if err != nil {
		return w
	}
	call := &writeCall{}
	w.rc, w.call, w.attempt = rc, call, call.attempt
	return w
}

func (w *fdWriter) write(head, body []byte) (int, error) {
	if w.rc == nil {
		return writeBoth(w.stream, head, body)
	}
	c := w.call
	c.head, c.body, c.err = head, body, nil
	err := w.rc.Write(w.attempt)
	n := len(head) + len(body) - len(c.head) - len(c.body)
	c.head, c.body = nil, nil
	if err == nil && c.err != nil {
		err = os.NewSyscallError("write", c.err)
	}
	return n, err
}

// attempt writes as much as goes; false makes the caller wait until the descriptor is writable.
func (c *writeCall) attempt(fd uintptr) bool {
	for len(c.head)+len(c.body) > 0 {
		p := c.head
		if len(p) == 0 {
			p = c.body
		}
		if len(p) > chunkSize {
			p = p[:min(len(p), maxWrite)&^(pageSize-1)]
		}
		n, err := syscall.Write(int(fd), p)
		if n > 0 {
			c.head, c.body = cut(c.head, c.body, n)
		}
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return false
		case err != nil:
			c.err = err
			return true
		}
	}
	return true
}

// maxWrite is the most bytes one write asks for: some systems refuse 2 GiB and more.
const maxWrite = 1 << 30

// isPeerClosed says whether a write's error means that nobody can read any more.
func isPeerClosed(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
