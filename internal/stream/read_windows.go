package stream

import (
	"io"

	"github.com/go-gipc/gipc/internal/fd"
)

// A read or write that has to wait takes as much of the kernel's non-paged memory as it asks for (MSDN, CreateNamedPipe,
// Remarks), so that long ones go in pieces, of these sizes in bytes.
const (
	MaxRead  = 64 << 10
	maxWrite = 64 << 10
)

// fdReader reads a stream that has deadlines. Where it is a pipe, much memory is borrowed only when bytes are there.
type fdReader struct {
	stream io.Reader
	pipe   *fd.Pipe // nil where the stream is none
}

func newFDReader(stream io.Reader) fdReader {
	f, _ := stream.(*fd.Pipe)
	return fdReader{stream, f}
}

func (r *fdReader) read(mem Lender) (int, error) {
	if r.pipe == nil {
		return readSome(r.stream, mem)
	}
	if n, err := r.pipe.Readable(); err != nil || n == 0 {
		return readSome(r.pipe, mem)
	}
	return r.pipe.Read(mem.Lend(false))
}
