package gipc

import (
	"context"
	"flag"
	"os"
	"runtime"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

var idleChildren = flag.Int("idle.children", 1000, "how many children TestIdleChildrenCostLittle starts; an eighth of it with -short or -race")

// footprint is what this process has of what idle children might cost.
type footprint struct{ threads, goroutines, heap, stacks, descriptors int }

func measure(t testing.TB) (f footprint) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	test.Check(t, err)
	runtime.GC()
	runtime.GC() // pools let go of what they have in two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{len(tasks), runtime.NumGoroutine(), int(m.HeapAlloc), int(m.StackInuse), test.OpenDescriptors(t)}
}

// idle starts children that wait, and have a channel each.
func idle(t testing.TB, ctx context.Context, n int) []*Process {
	t.Helper()
	children := make([]*Process, n)
	for i := range children {
		children[i] = upChild(t, ctx, "ignore ctx", nil)
	}
	return children
}

func endAll(t testing.TB, children []*Process) {
	t.Helper()
	for _, p := range children {
		test.Check(t, p.Kill())
	}
	for _, p := range children {
		<-p.Done()
	}
}

// A thread that waits for each child would end this program at 10,000 children.
func TestIdleChildrenCostLittle(t *testing.T) {
	const (
		threads    = 20       // in all
		goroutines = 2        // for each child, as the next ones
		heap       = 16 << 10 // bytes
	)
	ctx := test.Context(t)
	n := test.Scaled(*idleChildren)
	before := measure(t)
	children := idle(t, ctx, n)
	var now footprint
	test.Eventually(t, "2 goroutines for each child at most", func() bool {
		now = measure(t)
		return now.goroutines-before.goroutines <= goroutines*n
	})
	if now.threads > threads {
		t.Errorf("%d threads, %d before", now.threads, before.threads)
	}
	each := (now.heap - before.heap) / n
	t.Logf("%d children: %d threads; for each child %.2f goroutines, %d bytes of heap, %d of stacks", n, now.threads,
		float64(now.goroutines-before.goroutines)/float64(n), each, (now.stacks-before.stacks)/n)
	if each > heap {
		t.Errorf("%d bytes of heap for each child", each)
	}
	endAll(t, children)
	if more := measure(t).descriptors - before.descriptors; more > n*descriptorsOfAnEnd() { // one end of a channel each, which is open
		t.Errorf("%d more descriptors", more)
	}
}

// BenchmarkIdleChildren reports what 1,000 idle children cost their parent, with a channel each.
func BenchmarkIdleChildren(b *testing.B) {
	const n = 1000
	for b.Loop() {
		ctx := test.Context(b)
		before := measure(b)
		children := idle(b, ctx, n)
		now := measure(b)
		b.ReportMetric(float64(now.threads), "threads")
		b.ReportMetric(float64(now.goroutines-before.goroutines)/n, "goroutines/child")
		b.ReportMetric(float64(now.heap-before.heap)/n, "heap-B/child")
		b.ReportMetric(float64(now.stacks-before.stacks)/n, "stack-B/child")
		b.ReportMetric(float64(now.descriptors-before.descriptors)/n, "descriptors/child")
		endAll(b, children)
	}
}
