package main

import (
	"net/http"
	"os"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

// deepBomb is bomb with 8 bytes for each pixel: red, green, blue and alpha of 16 bits each. Of its rows there is only the first one.
func deepBomb(t *testing.T, width, height int) []byte {
	t.Helper()
	return blackPNG(t, width, height, 16, 6)
}

// A bomb with no more pixels than are allowed, but with more memory for each than a worker has, costs its own request, and none that
// is on another worker.
func TestBombAboveTheMemoryLimit(t *testing.T) {
	if test.RaceEnabled() {
		t.Skip("the race detector ends a program without memory in its own ways")
	}
	test.SkipUnderQEMU(t, "it ignores limits of memory, which would be its own, too")
	s := start(t, func(o *pool.Options) { o.Spawn.Limits = &gipc.Limits{Memory: 256 << 20, NoCore: true} })
	hold, other := s.begin(t, test.Context(t), "wait")
	const reason = "the image takes too much memory to decode"
	wantRefused(t, s.post(t, deepBomb(t, maxSide, maxSide)), http.StatusUnprocessableEntity, reason) // 512 MiB
	s.wantWorks(t)
	test.Check(t, os.Remove(hold))
	wantThumbnail(t, <-other)
	test.Equal(t, s.pool.Stats().Lost, 2) // it was tried twice
}
