//go:build unix

package pool

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// Workers are replaced, for every reason, while 64 goroutines keep the pool busy: no task is refused or lost, and none waits for a
// fresh worker, although that takes long to start.
func TestRecyclingUnderLoad(t *testing.T) {
	for name, o := range map[string]Options{
		"count":   {MaxTasks: 200},
		"age":     {MaxAge: 50 * time.Millisecond},
		"memory":  {MaxMemory: 1},
		"Replace": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var longest time.Duration
			o.Max, o.Min = 2, 2
			o.OnTask = func(i TaskInfo) {
				mu.Lock()
				defer mu.Unlock()
				longest = max(longest, i.Waited)
			}
			p := newOpened(t, opening{Takes: slowOpen}, o)
			recycleUnderLoad(t, p, name == "Replace")
			if longest > slowOpen {
				t.Errorf("a task waited %v, longer than a worker takes to start", longest)
			}
			test.Equal(t, int(p.Stats().Lost), 0)
		})
	}
}

// slowOpen is how long a worker takes to start: much longer than any task waits on a machine that is busy.
const slowOpen = 2 * time.Second

// recycleUnderLoad keeps a pool busy until two of its workers have been replaced.
func recycleUnderLoad(t *testing.T, p *Pool[string, string], replace bool) {
	ctx, over := context.WithCancel(test.Context(t))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer over()
	test.Check(t, p.WaitReady(ctx))
	for range 64 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if got, err := p.Do(context.Background(), "x"); err != nil || got != "x" {
					t.Error(got, err)
				}
			}
		})
	}
	if replace {
		test.Check(t, p.Replace(ctx))
	}
	test.Eventually(t, "two are replaced", func() bool { return p.Stats().Replaced >= 2 })
}
