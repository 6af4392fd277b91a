package stream

import (
	"runtime"
	"sync"

	"github.com/go-gipc/gipc/internal/fd"
)

// growth is the room that a sink's pipe has got beyond the default, once a write has not fitted. It is given back when the
// sink is closed, or collected.
type growth struct {
	mu      sync.Mutex
	asked   bool
	bytes   int
	dropped runtime.Cleanup // for a sink that nobody closes
}

// grow asks for more room, the first time. It may come at the same time as release.
func (s *streamSink) grow() {
	g := &s.growth
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked {
		return
	}
	g.asked = true
	if g.bytes = fd.GrowPipe(s.stream); g.bytes > 0 {
		g.dropped = runtime.AddCleanup(s, fd.ReleaseGrowth, g.bytes)
	}
}

// release gives the room back, for good.
func (g *growth) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = true
	if g.bytes > 0 {
		g.dropped.Stop()
		fd.ReleaseGrowth(g.bytes)
		g.bytes = 0
	}
}
