//go:build unix

package stream

import (
	"io"
	"os"
	"syscall"
)

// fdReader reads a stream that has deadlines. Where it is a file, memory is borrowed only when bytes are there.
type fdReader struct {
	stream  io.Reader
	rc      syscall.RawConn // nil where the stream is no file
	attempt func(fd uintptr) bool
	call    *readCall
}

// readCall is what attempt works on; one at a time.
type readCall struct {
	mem Lender
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

func (r *fdReader) read(mem Lender) (int, error) {
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
	p := c.mem.Lend(false)
	for {
		c.n, c.err = syscall.Read(int(fd), p)
		if c.err != syscall.EINTR {
			break
		}
	}
	if c.n <= 0 {
		c.n = 0
		c.mem.Unlend()
	}
	return c.err != syscall.EAGAIN
}
