package gipc

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// underWay waits until n calls are under way on an end.
func underWay(t testing.TB, end interface{ Stats() Stats }, n int) {
	t.Helper()
	test.Eventually(t, fmt.Sprintf("%d calls under way", n), func() bool { return end.Stats().Calls == n })
}

// byteStream is a kind of stream that channels run over.
type byteStream struct {
	name string
	fill int // bytes, more than it holds while nobody reads
	open func(t testing.TB) (io.ReadCloser, io.WriteCloser)
}

var byteStreams = []byteStream{
	{"os.Pipe", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		r, w, err := fd.NewPipe(0)
		test.Check(t, err)
		return r, w
	}},
	{"os.Pipe of a page", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		r, w, err := fd.NewPipe(pageSize)
		test.Check(t, err)
		return r, w
	}},
	{"io.Pipe", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return io.Pipe() }},
	{"net.Pipe", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return net.Pipe() }},
	{"tcp", 32 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return test.Connected(t, "tcp", "127.0.0.1:0") }},
	{"unix", 2 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		test.SkipUnderWine(t, "it has no AF_UNIX sockets")
		return test.Connected(t, "unix", filepath.Join(t.TempDir(), "s"))
	}},
}

const (
	pageSize    = 4096
	shortHeader = 4        // bytes of a frame's header
	chunkSize   = 64 << 10 // what frames are gathered in
)

var rawOptions = &Options[[]byte]{Codec: Raw{}}

// rawChannel returns a channel of bytes over a stream, closed with the test.
func (s byteStream) rawChannel(t testing.TB, opts *Options[[]byte]) (*Reader[[]byte], *Writer[[]byte]) {
	rs, ws := s.open(t)
	r, w := NewReader(rs, opts), NewWriter(ws, opts)
	closeAtEnd(t, r, w)
	return r, w
}

var sharedSize = flag.Int("shared.size", 0, "the size of the memory that channels of the tests share which would be pipes; 0: they are pipes")

// inMemory returns opts as the flag wants them.
func inMemory[T any](opts *Options[T]) *Options[T] {
	if *sharedSize == 0 || opts != nil && opts.Shared != 0 {
		return opts
	}
	var o Options[T]
	if opts != nil {
		o = *opts
	}
	o.Shared = *sharedSize
	return &o
}

// needsPipe skips a test of what only channels over pipes do.
func needsPipe(t testing.TB, what string) {
	t.Helper()
	if *sharedSize > 0 {
		t.Skip("of pipes only: " + what)
	}
}

// rawPipe returns a channel of bytes, closed with the test.
func rawPipe(t testing.TB, opts *Options[[]byte]) (*Reader[[]byte], *Writer[[]byte]) {
	r, w, err := Pipe(inMemory(opts))
	test.Check(t, err)
	closeAtEnd(t, r, w)
	return r, w
}

func closeAtEnd[A, B any](t testing.TB, r *Reader[A], w *Writer[B]) {
	t.Cleanup(func() {
		_ = w.CloseNow() // the test may have closed either
		_ = r.Close()
	})
}

// onEachStream runs a test over every kind of stream.
func onEachStream(t *testing.T, f func(t *testing.T, s byteStream)) {
	for _, s := range byteStreams {
		t.Run(s.name, func(t *testing.T) {
			test.Bounded(t)
			f(t, s)
		})
	}
}

// getStamped gets n messages that stamped made, numbered from first on.
func getStamped(t testing.TB, r *Reader[[]byte], first, n int) {
	t.Helper()
	for i := range n {
		v, err := r.Get(t.Context())
		test.Check(t, err)
		_, seq := test.ReadStamp(t, v)
		test.Equal(t, seq, first+i)
	}
}

// appendHeader appends the header of a payload of n bytes, as docs/protocol.md has it.
func appendHeader(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }

func appendFrame(b, payload []byte) []byte { return append(appendHeader(b, len(payload)), payload...) }
