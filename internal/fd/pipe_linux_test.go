package fd

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

func capacity(t *testing.T, f *os.File) int {
	t.Helper()
	return flags(t, f, unix.F_GETPIPE_SZ)
}

func TestPipeSizeIsAskedFor(t *testing.T) {
	usual := capacity(t, first(NewPipe(0)))
	for _, size := range []int{1, os.Getpagesize(), 2 * os.Getpagesize(), 1 << 20} {
		r, w, err := NewPipe(size)
		test.Check(t, err)
		closeAtEnd(t, r, w)
		if got := capacity(t, r); got < size || got > max(size, os.Getpagesize()) {
			t.Errorf("asked for %d bytes, got %d", size, got)
		}
	}
	r, w, err := NewPipe(1<<31 - 1) // above the limit; where there is none, the system refuses it too
	test.Check(t, err)
	closeAtEnd(t, r, w)
	if got := capacity(t, r); got < usual {
		t.Errorf("a refused size left %d bytes", got)
	}
}

// first returns the reading end of a pipe.
func first(r, w *os.File, err error) *os.File {
	if err != nil {
		panic(err)
	}
	_ = w.Close()
	return r
}
