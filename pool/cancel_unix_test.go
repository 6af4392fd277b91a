//go:build unix

package pool

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// promptly is how long the median of what is to happen within milliseconds may take. This machine may do other things as well.
func promptly() time.Duration {
	limit := 50 * time.Millisecond * (test.Patience / time.Minute) // more where everything is slow
	if test.RaceEnabled() {
		limit *= 10
	}
	return limit
}

// wantPromptly fails the test if the median is not what promptly says.
func wantPromptly(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("%s: median %v, longest %v", what, median.Round(time.Microsecond), took[len(took)-1].Round(time.Microsecond))
	if limit := promptly(); median > limit {
		t.Errorf("%s takes %v, above %v", what, median, limit)
	}
}

// awaitState waits until a pool is in a state.
func awaitState(t *testing.T, p *core, reached func() bool) {
	t.Helper()
	p.mu.Lock()
	test.Check(t, p.wait(test.Context(t), reached))
}

// states are all in which a Do can be. Each function starts a Do and returns when it is there.
var states = map[string]func(t *testing.T, ctx context.Context) (result <-chan error){
	"it waits in the queue": func(t *testing.T, ctx context.Context) <-chan error {
		p := newTestPool(t, Options{Max: 1, Grace: 10 * time.Millisecond})
		hold, release := context.WithCancel(context.Background())
		t.Cleanup(release)
		start(t, hold, p, deed{Do: "until cancelled"})
		result := test.Started(func() error { _, err := p.Do(ctx, deed{}); return err })
		awaitState(t, p.core, func() bool { return len(p.core.queue) == 1 })
		return result
	},
	"its worker starts": func(t *testing.T, ctx context.Context) <-chan error {
		o, _ := slowStart(t)
		p := newOpened(t, o, Options{Max: 1, Grace: 10 * time.Millisecond})
		result := test.Started(func() error { _, err := p.Do(ctx, "x"); return err })
		test.Eventually(t, "the worker starts", func() bool { return size(o.Starts) == 1 })
		awaitState(t, p.core, func() bool { return len(p.core.queue) == 1 })
		return result
	},
	"it runs": func(t *testing.T, ctx context.Context) <-chan error {
		return start(t, ctx, newTestPool(t, Options{Max: 1}), deed{Do: "until cancelled"})
	},
	"it runs and ignores its ctx": func(t *testing.T, ctx context.Context) <-chan error {
		return start(t, ctx, newTestPool(t, Options{Max: 1, Grace: 50 * time.Millisecond}), deed{Do: "stubborn"})
	},
	"its worker stands still": func(t *testing.T, ctx context.Context) <-chan error {
		p := newTestPool(t, Options{Max: 1, Grace: 50 * time.Millisecond})
		result := start(t, ctx, p, deed{Do: "until cancelled"})
		test.Check(t, stop(anyWorker(p.core)))
		return result
	},
	"its argument is being sent": func(t *testing.T, ctx context.Context) <-chan error {
		p := newTestPool(t, Options{Max: 1, Grace: 50 * time.Millisecond})
		test.Check(t, stop(pid(t, p)))
		result := test.Started(func() error { _, err := p.Do(ctx, deed{Data: make([]byte, 8<<20)}); return err })
		test.Eventually(t, "the argument is on its way", func() bool {
			p.core.mu.Lock()
			defer p.core.mu.Unlock()
			return len(p.core.workers) == 1 && p.core.workers[0].channel.Stats().Calls > 0
		})
		return result
	},
	"its result is being received": func(t *testing.T, ctx context.Context) <-chan error {
		p := newHostile(t, "half a result", Options{Max: 1, Grace: 10 * time.Millisecond})
		path := filepath.Join(t.TempDir(), "sent")
		result := test.Started(func() error { _, err := p.Do(ctx, deed{Path: path}); return err })
		test.Eventually(t, "half of the result is sent", func() bool { return exists(path) })
		return result
	},
	"it is to run again": func(t *testing.T, ctx context.Context) <-chan error {
		o, release := slowStart(t)
		release()
		p := newOpened(t, o, Options{Max: 1, Retries: 1, Grace: 10 * time.Millisecond, Spawn: &gipc.SpawnOptions{Stderr: io.Discard}})
		test.Check(t, p.WaitReady(test.Context(t)))
		announce(o.Holds)
		result := test.Started(func() error { _, err := p.Do(ctx, "die"); return err })
		awaitState(t, p.core, func() bool { return p.core.stats.Retried == 1 && len(p.core.queue) == 1 })
		return result
	},
}

// Do returns within milliseconds of the end of its ctx, in every state.
func TestDoReturnsPromptlyWhenItsCtxEnds(t *testing.T) {
	for state, enter := range states {
		t.Run(state, func(t *testing.T) {
			var took []time.Duration
			for range 9 {
				t.Run("", func(t *testing.T) {
					why := errors.New("the client left")
					ctx, cancel := context.WithCancelCause(test.Context(t))
					result := enter(t, ctx)
					select {
					case err := <-result:
						t.Fatal("it has returned already: ", err)
					default:
					}
					began := time.Now()
					cancel(why)
					err := <-result
					took = append(took, time.Since(began))
					test.Is(t, err, context.Canceled, why)
				})
			}
			wantPromptly(t, "Do when "+state, took)
		})
	}
}

// announced returns the files of tasks that were told to announce themselves in dir.
func announced(dir string) []string {
	files, _ := filepath.Glob(dir + "/?")
	return files
}

// A break ends within milliseconds what runs and what waits, and args.
func TestABreakStopsEverythingPromptly(t *testing.T) {
	p := newTestPool(t, Options{Max: 2, Min: 2})
	var took []time.Duration
	for range 9 {
		dir := t.TempDir()
		ended := make(chan struct{})
		args := func(yield func(deed) bool) {
			defer close(ended)
			for i := 0; ; i++ {
				d := deed{Do: "until cancelled", Path: filepath.Join(dir, string(rune('a'+i)))}
				if i == 0 {
					d = echo(i)
				}
				if !yield(d) {
					return
				}
			}
		}
		var began time.Time
		for _, err := range p.All(test.Context(t), args) {
			test.Check(t, err)
			test.Eventually(t, "two run", func() bool { return len(announced(dir)) == 2 })
			awaitState(t, p.core, func() bool { return len(p.core.queue) > 0 })
			began = time.Now()
			break
		}
		<-ended
		awaitState(t, p.core, func() bool { return p.core.calls == 0 && len(p.core.idle) == 2 })
		took = append(took, time.Since(began))
		for _, path := range announced(dir) {
			test.Equal(t, awaitText(t, path+".end"), "context canceled|context canceled")
		}
	}
	wantPromptly(t, "the end of everything after a break", took)
	test.Equal(t, int(p.Stats().Replaced+p.Stats().Lost), 0)
}

// A task that is cancelled while it waits for another one's argument to be sent costs nothing, whatever its ctx is.
func TestCancelBehindAnotherOnesArgument(t *testing.T) {
	for name, own := range ownContexts {
		t.Run(name, func(t *testing.T) {
			p := newTestPool(t, Options{Max: 1, PerWorker: 2})
			worker := pid(t, p)
			test.Check(t, stop(worker))
			p.core.mu.Lock()
			channel := p.core.workers[0].channel
			p.core.mu.Unlock()
			calls := func() int { return channel.Stats().Calls }
			large := test.Started(func() error { _, err := p.Do(test.Context(t), deed{Data: make([]byte, 8<<20)}); return err })
			test.Eventually(t, "the argument is on its way", func() bool { return calls() == 1 })
			ctx, cancel := context.WithCancel(context.Background())
			small := test.Started(func() error { _, err := p.Do(own(ctx), deed{}); return err })
			test.Eventually(t, "another one waits for that", func() bool { return calls() == 2 })
			cancel()
			test.Is(t, <-small, context.Canceled)
			test.Check(t, cont(worker))
			test.Check(t, <-large)
			test.Equal(t, pid(t, p), worker)
		})
	}
}
