package fd

import (
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func TestGrowPipeStaysWithinTheProcessesShare(t *testing.T) {
	var granted []int
	for range maxGrowth/(grownPipe-defaultPipe) + 3 {
		r, w, err := NewPipe(0)
		test.Check(t, err)
		closeAtEnd(t, r, w)
		n := GrowPipe(w)
		test.Equal(t, capacity(t, r), defaultPipe+n)
		if n > 0 {
			granted = append(granted, n)
		}
	}
	test.Equal(t, len(granted), maxGrowth/(grownPipe-defaultPipe))
	for _, n := range granted {
		ReleaseGrowth(n)
	}
	_, w, err := NewPipe(0)
	test.Check(t, err)
	n := GrowPipe(w)
	test.Equal(t, n, grownPipe-defaultPipe)
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
		test.Equal(t, GrowPipe(stream), 0)
	}
	test.Equal(t, capacity(t, chosen), os.Getpagesize())
	test.Equal(t, grown.Load(), 0)
}
