//go:build unix

package pool

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// withoutDescriptors runs f while this process can open no file.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var limit syscall.Rlimit
	test.Check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	low := limit
	setTo(&low.Cur, test.FreeDescriptors(t, 0))
	test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
	defer func() { test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)) }()
	f()
}

// setTo sets a field of Rlimit, whose type depends on the system.
func setTo[T ~int64 | ~uint64](field *T, n int) { *field = T(n) }

// withoutProcesses runs f while no worker of p can be started. The error is that of a system or a cgroup with no process left. To
// have it for real takes root's rights: see TestCgroupShortOfProcesses.
func withoutProcesses(short *atomic.Bool) func(t *testing.T, f func()) {
	return func(_ *testing.T, f func()) {
		short.Store(true)
		defer short.Store(false)
		f()
	}
}

// tryShort does something with a pool whose workers can't start while what short gets runs.
type tryShort func(t *testing.T, p *Pool[deed, done], rec *recorder, short func(*testing.T, func()), cause error)

// shortages are what keeps workers of a pool from starting.
func shortages(t *testing.T, try tryShort) {
	pool := func(t *testing.T) (*Pool[deed, done], *recorder) {
		rec := &recorder{}
		return newTestPool(t, Options{Max: 8, Min: -1, OnEvent: rec.add}), rec
	}
	t.Run("descriptors", func(t *testing.T) {
		p, rec := pool(t)
		try(t, p, rec, withoutDescriptors, syscall.EMFILE)
	})
	t.Run("processes", func(t *testing.T) {
		p, rec := pool(t)
		var short atomic.Bool
		launch := p.core.launch
		p.core.launch = func(ctx context.Context, args workerArgs) (child, error) {
			if short.Load() {
				return nil, syscall.EAGAIN
			}
			return launch(ctx, args)
		}
		try(t, p, rec, withoutProcesses(&short), syscall.EAGAIN)
	})
}

func failedStarts(e Event) bool { return e.Reason == ReasonNotStarted }

// Seven of eight workers are well, and the eighth can't be started: nobody's task fails, the starts are few, and the pool recovers
// by itself.
func TestShortWhileOthersAreWell(t *testing.T) { shortages(t, shortWhileOthersAreWell) }

func shortWhileOthersAreWell(t *testing.T, p *Pool[deed, done], rec *recorder, short func(*testing.T, func()), _ error) {
	ctx := test.Context(t)
	busyWorkers(t, p, 8)
	short(t, func() {
		test.Check(t, killPID(anyWorker(p.core)))
		rec.await(t, "a start fails", func(e Event) bool { return e.Kind == EventEnded && e.Reason == ReasonLost })
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 10 {
					if _, err := p.Do(ctx, deed{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		rec.await(t, "a start fails", failedStarts)
	})
	if n := rec.count(failedStarts); n > 16 {
		t.Errorf("%d failed starts", n)
	}
	busyWorkers(t, p, 8)
}

// busyWorkers has so many tasks run at once, each on a worker of its own. These have more threads then than they will ever need.
func busyWorkers(t *testing.T, p *Pool[deed, done], n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(test.Context(t))
	defer cancel()
	var ended []<-chan error
	dir := t.TempDir()
	for i := range n {
		ended = append(ended, test.Started(func() error {
			_, err := p.Do(ctx, deed{Do: "until cancelled", N: 16, Path: filepath.Join(dir, string(rune('a'+i)))})
			return err
		}))
	}
	test.Eventually(t, "all run", func() bool { return len(announced(dir)) == n })
	cancel()
	for _, e := range ended {
		test.Is(t, <-e, context.Canceled)
	}
}

func TestShortWithoutAWorker(t *testing.T) { shortages(t, shortWithoutAWorker) }

func shortWithoutAWorker(t *testing.T, p *Pool[deed, done], rec *recorder, short func(*testing.T, func()), cause error) {
	short(t, func() {
		_, err := p.Do(test.Context(t), deed{})
		as[*StartError](t, err)
		test.Is(t, err, cause)
	})
	if n := rec.count(failedStarts); n > 16 {
		t.Errorf("%d failed starts", n)
	}
	ctx := test.Context(t)
	_, err := p.Do(ctx, deed{})
	for failed := new(StartError); errors.As(err, &failed) && ctx.Err() == nil; {
		_, err = p.Do(ctx, deed{}) // the next try was under way
	}
	test.Check(t, err)
}
