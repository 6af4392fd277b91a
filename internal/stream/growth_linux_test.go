package stream

import (
	"context"
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

// grownSink is one whose pipe has grown by a write.
func grownSink(t *testing.T) (r *os.File, s Sink) {
	t.Helper()
	r, w, err := fd.NewPipe(0)
	test.Check(t, err)
	t.Cleanup(func() { _ = r.Close() })
	before := capacity(t, r)
	s = NewSink(w)
	_, err = s.Write(t.Context(), make([]byte, before), nil)
	test.Check(t, err)
	test.Equal(t, capacity(t, r), before)
	read := test.Started(func() error { _, err := io.CopyN(io.Discard, r, int64(2*before+1)); return err })
	_, err = s.Write(context.Background(), make([]byte, before+1), nil)
	test.Check(t, err)
	test.Check(t, <-read)
	if got := capacity(t, r); got <= before {
		t.Fatalf("a write of more than %d bytes left the pipe at %d", before, got)
	}
	return r, s
}

// share is how many pipes more may grow.
func share(t *testing.T) (n int) {
	t.Helper()
	for {
		r, w, err := fd.NewPipe(0)
		test.Check(t, err)
		bytes := fd.GrowPipe(w)
		defer fd.ReleaseGrowth(bytes)
		defer r.Close()
		defer w.Close()
		if bytes == 0 {
			return n
		}
		n++
	}
}

func TestPipeGrowsWhenAWriteDoesNotFit(t *testing.T) {
	before := share(t)
	_, s := grownSink(t)
	test.Equal(t, share(t), before-1)
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
