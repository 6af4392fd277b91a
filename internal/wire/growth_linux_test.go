package wire

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// TestReaderThatStaysOpenKeepsNoRoom: a pipe that has grown shrinks when its Reader is at the end, also if nobody closes it.
func TestReaderThatStaysOpenKeepsNoRoom(t *testing.T) {
	test.Bounded(t)
	rs, ws := openPipe(t, 0)
	growing := Options{MaxMessage: defaultMaxMessage, EndMark: true, Grows: true}
	in, out := NewInbound(rs, growing), NewOutbound(ws, growing)
	r, w := &reader{in: in}, &writer{out: out}
	test.Check(t, w.Put(t.Context(), test.Pattern(300<<10)))
	test.Check(t, w.Close())
	test.Equal(t, capacity(t, rs), 1<<20)
	var err error
	for err == nil {
		_, err = r.Get(t.Context())
	}
	test.Equal(t, err, io.EOF)
	test.Equal(t, capacity(t, rs), 64<<10)
	test.Check(t, r.Close())
}

func capacity(t *testing.T, end io.Closer) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd.Number(end)), unix.F_GETPIPE_SZ, 0)
	test.Check(t, err)
	return n
}
