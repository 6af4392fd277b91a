package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

func capacity(t *testing.T, f *os.File) (n int) {
	t.Helper()
	rc, err := f.SyscallConn()
	test.Check(t, err)
	test.Check(t, rc.Control(func(fd uintptr) { n, err = unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0) }))
	test.Check(t, err)
	return n
}

// write writes n bytes, which somebody reads.
func write(t *testing.T, s Sink, r *os.File, n int) {
	t.Helper()
	read := test.Started(func() error { _, err := io.CopyN(io.Discard, r, int64(n)); return err })
	_, err := s.Write(context.Background(), make([]byte, n), nil)
	test.Check(t, err)
	test.Check(t, <-read)
}

// grownSink is one whose pipe has grown by writes.
func grownSink(t *testing.T) Sink {
	t.Helper()
	r, w, err := fd.NewPipe(0)
	test.Check(t, err)
	t.Cleanup(func() { _ = r.Close() })
	s := NewSink(w)
	write(t, s, r, 2<<20)
	test.Equal(t, capacity(t, r), 64<<10)
	LetGrow(s)
	for _, c := range []struct{ n, capacity int }{
		{16 << 10, 64 << 10}, {16<<10 + 1, 256 << 10}, {64 << 10, 256 << 10}, {64<<10 + 1, 1 << 20}, {8 << 20, 1 << 20},
	} {
		write(t, s, r, c.n)
		test.Equal(t, capacity(t, r), c.capacity)
	}
	return s
}

// share is by how many bytes pipes may grow yet.
func share(t *testing.T) (bytes int) {
	t.Helper()
	for {
		r, w, err := fd.NewPipe(0)
		test.Check(t, err)
		n := fd.GrowPipe(w, 64<<10, 128<<10)
		defer fd.ReleaseGrowth(n)
		defer r.Close()
		defer w.Close()
		if bytes += n; n == 0 {
			return bytes
		}
	}
}

func TestPipeGrowsWithItsWrites(t *testing.T) {
	before := share(t)
	s := grownSink(t)
	test.Equal(t, share(t), before-(1<<20-64<<10))
	test.Check(t, s.Close())
	test.Equal(t, share(t), before)
}

func TestGrowthOfADroppedSinkIsGivenBack(t *testing.T) {
	before := share(t)
	grownSink(t)
	test.Eventually(t, "the share is given back", func() bool {
		runtime.GC()
		return share(t) == before
	})
}

// A pipe lives on while its reading end is open: what it had grown by goes back all the same, when its sink closes, or when what was in
// it then has been read.
func TestPipeShrinksWhenItsSinkHasClosed(t *testing.T) {
	for _, unread := range []int{0, 1 << 20} {
		r, w, err := fd.NewPipe(0)
		test.Check(t, err)
		s := NewSink(w)
		LetGrow(s)
		write(t, s, r, 1<<20)
		_, err = s.Write(context.Background(), make([]byte, unread), nil)
		test.Check(t, errors.Join(err, s.Close()))
		if unread > 0 {
			test.Equal(t, capacity(t, r), 1<<20)
			_, err := io.CopyN(io.Discard, r, int64(unread))
			test.Check(t, err)
			Shrink(r)
		}
		test.Equal(t, capacity(t, r), 64<<10)
		test.Check(t, r.Close())
	}
}

func TestChosenCapacityStays(t *testing.T) {
	before := share(t)
	r, w, err := fd.NewPipe(128 << 10)
	test.Check(t, err)
	s := NewSink(w)
	LetGrow(s)
	t.Cleanup(func() { test.Check(t, errors.Join(r.Close(), s.Close())) })
	write(t, s, r, 1<<20)
	test.Equal(t, capacity(t, r), 128<<10)
	test.Equal(t, share(t), before)
}
