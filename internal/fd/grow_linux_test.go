package fd

import (
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func TestGrowPipeStaysWithinTheProcessesShare(t *testing.T) {
	const usual, large = 64 << 10, 1 << 20
	var granted []int
	for range maxGrowth/(large-usual) + 3 {
		r, w, err := NewPipe(0)
		test.Check(t, err)
		closeAtEnd(t, r, w)
		n := GrowPipe(w, usual, large)
		test.Equal(t, capacity(t, r), usual+n)
		if n > 0 {
			granted = append(granted, n)
		}
	}
	test.Equal(t, len(granted), maxGrowth/(large-usual))
	for _, n := range granted {
		ReleaseGrowth(n)
	}
	_, w, err := NewPipe(0)
	test.Check(t, err)
	n := GrowPipe(w, usual, large)
	test.Equal(t, n, large-usual)
	test.Check(t, w.Close())
	ReleaseGrowth(n)
	test.Equal(t, grown.Load(), 0)
}

func TestGrowPipeLeavesOthersAlone(t *testing.T) {
	_, chosen, err := NewPipe(os.Getpagesize())
	test.Check(t, err)
	closed := first(NewPipe(0))
	test.Check(t, closed.Close())
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	test.Check(t, err)
	closeAtEnd(t, chosen, null)
	for _, stream := range []any{chosen, closed, null, "no file"} {
		test.Equal(t, GrowPipe(stream, 64<<10, 1<<20), 0)
	}
	test.Equal(t, capacity(t, chosen), os.Getpagesize())
	test.Equal(t, grown.Load(), 0)
}
