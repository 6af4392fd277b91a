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
// fresh worker, whose start is held up here. At every moment as many workers as ever take tasks, and none of them is idle while a
// task waits: so no task is delayed by more than what is left of another one's time.
func TestRecyclingUnderLoad(t *testing.T) {
	for name, o := range map[string]Options{
		"count":   {MaxTasks: 200},
		"age":     {MaxAge: 50 * time.Millisecond},
		"memory":  {MaxMemory: 1},
		"Replace": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := test.Context(t)
			opening, release := slowStart(t)
			release()
			o.Max, o.Min = 2, 2
			p := newOpened(t, opening, o)
			test.Check(t, p.WaitReady(ctx))
			over := always(t, p.core, "two workers take tasks, and have one while any waits", func() bool {
				return p.core.n[phaseTaking] == 2 && (len(p.core.queue) == 0 || len(p.core.idle) == 0)
			})
			defer over()
			announce(opening.Holds)
			busy, stop := context.WithCancel(ctx)
			load := test.Started(func() bool { tasks(t, p, func(int) bool { return busy.Err() == nil }); return true })
			defer func() { stop(); <-load }()

			starts, replaced := size(opening.Starts), p.Stats().Replaced
			var replacing <-chan error
			if name == "Replace" {
				replacing = test.Started(func() error { return p.Replace(ctx) })
			}
			test.Eventually(t, "a successor starts", func() bool { return size(opening.Starts) > starts })
			tasks(t, p, func(n int) bool { return n < 5 }) // all of them while it is held up
			remove(t, opening.Holds)
			test.Eventually(t, "two are replaced", func() bool { return p.Stats().Replaced >= replaced+2 })
			if replacing != nil {
				test.Check(t, <-replacing)
			}
			test.Equal(t, int(p.Stats().Lost), 0)
		})
	}
}

// always fails the test if a pool gets into a state in which something does not hold, before over is called.
func always(t *testing.T, p *core, what string, holds func() bool) (over func()) {
	failed, ended := false, false
	p.mu.Lock()
	p.waiters = append(p.waiters, &waiter{wake: make(chan struct{}), reached: func() bool {
		failed = failed || !ended && !holds()
		return ended
	}})
	p.unlock()
	return func() {
		p.mu.Lock()
		ended = true
		p.unlock()
		if failed {
			t.Error("not always: " + what)
		}
	}
}

// tasks has 64 goroutines do tasks, one after the other while more says so of their number.
func tasks(t *testing.T, p *Pool[string, string], more func(n int) bool) {
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for n := 0; more(n); n++ {
				if got, err := p.Do(context.Background(), "x"); err != nil || got != "x" {
					t.Error(got, err)
				}
			}
		})
	}
	wg.Wait()
}
