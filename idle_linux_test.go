package gipc

import (
	"os"
	"runtime"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	test.Check(t, err)
	return len(tasks)
}

// A thread that waits for each child would end this program at 10,000 children.
func TestIdleChildrenCostNoThreads(t *testing.T) {
	ctx := test.Context(t)
	children := test.Scaled(200)
	before, goroutines, descriptors := threads(t), runtime.NumGoroutine(), test.OpenDescriptors(t)
	idle := make([]*Process, children)
	for i := range idle {
		idle[i] = upChild(t, ctx, "ignore ctx", nil)
	}
	if n := threads(t) - before; n > 15 {
		t.Errorf("%d more threads", n)
	}
	test.Eventually(t, "4 goroutines for each child at most", func() bool {
		return runtime.NumGoroutine()-goroutines <= 4*children
	})
	for _, p := range idle {
		test.Check(t, p.Kill())
		<-p.Done()
	}
	if more := test.OpenDescriptors(t) - descriptors; more > children { // one end of a channel each, which is open
		t.Errorf("%d more descriptors", more)
	}
}
