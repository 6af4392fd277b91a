package stream

import (
	"runtime"
	"sync"

	"github.com/go-gipc/gipc/internal/fd"
)

// A pipe grows when a write first takes more than a quarter of it. With less room, writer and reader would take turns instead of
// working at the same time.
var capacities = [...]int{ChunkSize, 256 << 10, 1 << 20}

// growth is the room that a sink's pipe has got beyond the default. It is given back when the sink is closed, or collected.
type growth struct {
	above int // bytes: writes of more are for fit; 0: none are. Used by Write alone

	mu      sync.Mutex
	step    int // in capacities; the last one where no more is to be had
	bytes   int
	dropped runtime.Cleanup // for a sink that nobody closes
}

// LetGrow lets the pipe under s grow with its writes. It comes before the first of them.
func LetGrow(s Sink) {
	if s, ok := s.(*streamSink); ok {
		s.growth.above = capacities[0] / 4
	}
}

// fit makes room for writes of n bytes, if there is more to be had. It may come at the same time as release.
func (s *streamSink) fit(n int) {
	g := &s.growth
	g.mu.Lock()
	defer g.mu.Unlock()
	last := len(capacities) - 1
	for g.step < last && n > capacities[g.step]/4 {
		more := fd.GrowPipe(s.stream, capacities[g.step], capacities[g.step+1])
		g.add(s, more)
		g.step++
		if more == 0 {
			g.step = last
		}
	}
	g.above = capacities[g.step] / 4
	if g.step == last {
		g.above = 0
	}
}

func (g *growth) add(s *streamSink, bytes int) {
	g.dropped.Stop()
	if g.bytes += bytes; g.bytes > 0 {
		g.dropped = runtime.AddCleanup(s, fd.ReleaseGrowth, g.bytes)
	}
}

// Shrink gives back the room that a pipe has grown by, unless it is in use. A sink does so when it is closed. What is unread then keeps
// the room, so that the reading end, which may stay open, does it again at its end.
func Shrink(pipe any) { fd.ShrinkPipe(pipe, capacities[0]) }

// release gives the room back, for good.
func (s *streamSink) release() {
	g := &s.growth
	g.mu.Lock()
	defer g.mu.Unlock()
	g.step = len(capacities) - 1
	if g.bytes > 0 {
		Shrink(s.stream)
	}
	g.dropped.Stop()
	fd.ReleaseGrowth(g.bytes)
	g.bytes = 0
}
