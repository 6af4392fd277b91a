//go:build unix

package pool

import (
	"context"
	"errors"
	"flag"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

var stormTime = flag.Duration("storm.time", time.Second, "how long workers are killed under load")

// storm runs do on 64 goroutines, again and again, while something bad happens each 50 ms. Do says whether its task was lost to
// that. It returns how many tasks there were, and how many of them were lost.
func storm(t *testing.T, bad func(), do func(ctx context.Context, i int) (lost bool)) (tasks, lost int) {
	t.Helper()
	ctx := test.Context(t)
	over, stop := context.WithTimeout(ctx, *stormTime)
	defer stop()
	var all, gone atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for over.Err() == nil {
				all.Add(1)
				if do(ctx, i) {
					gone.Add(1)
				}
			}
		})
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for over.Err() == nil {
		<-ticker.C
		bad()
	}
	wg.Wait()
	t.Logf("%d tasks, %d lost", all.Load(), gone.Load())
	return int(all.Load()), int(gone.Load())
}

// honest returns an honest task for storm. Errors that mayBe allows are of a task that was lost.
func honest(t *testing.T, p *Pool[deed, done], mayBe func(error) bool) func(ctx context.Context, i int) (lost bool) {
	return func(ctx context.Context, i int) bool {
		got, err := p.Do(ctx, deed{Do: "echo", Data: []byte{byte(i)}})
		if err != nil && mayBe(err) {
			return true
		}
		if err != nil || len(got.Data) != 1 || got.Data[0] != byte(i) {
			t.Errorf("%v, %v", got, err)
		}
		return false
	}
}

// killed says whether err is of a task whose worker was killed.
func killed(err error) bool {
	var gone *WorkerError
	return errors.As(err, &gone) && gone.Exit.Signal == syscall.SIGKILL && gone.Exit.Err == nil
}

func never(error) bool { return false }

func TestStormOfKills(t *testing.T) {
	p := newTestPool(t, Options{Max: 8, Min: 8})
	kills := 0
	_, lost := storm(t, func() {
		if pid := anyWorker(p.core); pid > 0 && killPID(pid) == nil {
			kills++
		}
	}, honest(t, p, killed))
	if lost > kills {
		t.Errorf("%d tasks were lost by %d kills", lost, kills)
	}
}

func TestStormOfKillsWithRetries(t *testing.T) {
	p := newTestPool(t, Options{Max: 8, Min: 8, Retries: 100, Shared: 1})
	storm(t, func() {
		if pid := anyWorker(p.core); pid > 0 {
			_ = killPID(pid)
		}
	}, honest(t, p, never))
	t.Logf("%d retried", p.Stats().Retried)
}

func TestStormOfReplacing(t *testing.T) {
	p := newTestPool(t, Options{Max: 8, Min: 8, MaxTasks: 300})
	storm(t, func() { test.Check(t, p.Replace(test.Context(t))) }, honest(t, p, never))
	test.Equal(t, int(p.Stats().Lost), 0)
}

// Tasks that end their worker in every way, among honest ones, which notice nothing.
func TestStormOfCrashes(t *testing.T) {
	p := newTestPool(t, Options{Max: 8, Min: 8, Grace: 10 * time.Millisecond, Spawn: &gipc.SpawnOptions{Stderr: io.Discard}})
	ctx := test.Context(t)
	over, stop := context.WithTimeout(ctx, *stormTime)
	defer stop()
	var wg sync.WaitGroup
	for _, do := range []string{"panic", "exit", "goexit", "fail", "stop"} {
		wg.Go(func() {
			for over.Err() == nil {
				limit := test.Patience
				if do == "stop" {
					limit = 200 * time.Millisecond
				}
				limited, cancel := context.WithTimeout(ctx, limit)
				_, err := p.Do(limited, deed{Do: do})
				cancel()
				var died *WorkerError
				var failed *TaskError
				switch do {
				case "panic":
					if !errors.As(err, &died) || died.Exit.Panic != "as told" {
						t.Error(do, err)
					}
				case "exit":
					if !errors.As(err, &died) || died.Exit.Code != 0 {
						t.Error(do, err)
					}
				case "stop":
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(do, err)
					}
				default:
					if !errors.As(err, &failed) {
						t.Error(do, err)
					}
				}
			}
		})
	}
	for i := range 16 {
		wg.Go(func() {
			for over.Err() == nil {
				got, err := p.Do(ctx, deed{Do: "echo", Data: []byte{byte(i)}})
				if err != nil || len(got.Data) != 1 || got.Data[0] != byte(i) {
					t.Errorf("%v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	test.Check(t, p.Close())
	test.Equal(t, p.Stats().Workers, 0)
}
