//go:build unix

package pool

import (
	"context"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

var stormTime = flag.Duration("storm.time", time.Second, "how long workers are killed under load")

// anyWorker returns the pid of a worker, or 0.
func anyWorker(p *core) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.workers) == 0 {
		return 0
	}
	return p.workers[rand.IntN(len(p.workers))].pid
}

// storm keeps p busy from 64 goroutines, while bad things happen, and returns what came of the tasks.
func storm(t *testing.T, p *Pool[deed, done], bad func()) (tasks, lost int64) {
	t.Helper()
	ctx := test.Context(t)
	over, stop := context.WithTimeout(ctx, *stormTime)
	defer stop()
	var n, died atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for over.Err() == nil {
				got, err := p.Do(ctx, deed{Do: "echo", Data: []byte{byte(i)}})
				n.Add(1)
				var gone *WorkerError
				switch {
				case errors.As(err, &gone):
					died.Add(1)
					if gone.Exit.Signal != syscall.SIGKILL || gone.Exit.Err != nil {
						t.Errorf("%v", err)
					}
				case err != nil || len(got.Data) != 1 || got.Data[0] != byte(i):
					t.Errorf("%v, %v", got, err)
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
	return n.Load(), died.Load()
}

func TestStormOfKills(t *testing.T) {
	p := newTestPool(t, Options{Max: 8, Min: 8})
	kills := 0
	tasks, lost := storm(t, p, func() {
		if pid := anyWorker(p.core); pid > 0 && killPID(pid) == nil {
			kills++
		}
	})
	t.Logf("%d tasks, %d kills, %d tasks lost", tasks, kills, lost)
	if lost > int64(kills) {
		t.Errorf("%d tasks were lost by %d kills", lost, kills)
	}
}

func TestStormOfKillsWithRetries(t *testing.T) {
	p := newTestPool(t, Options{Max: 8, Min: 8, Retries: 100, Shared: 1})
	tasks, lost := storm(t, p, func() {
		if pid := anyWorker(p.core); pid > 0 {
			_ = killPID(pid)
		}
	})
	t.Logf("%d tasks, %d retried", tasks, p.Stats().Retried)
	test.Equal(t, int(lost), 0)
}

func TestStormOfReplacing(t *testing.T) {
	p := newTestPool(t, Options{Max: 8, Min: 8, MaxTasks: 300})
	_, lost := storm(t, p, func() { test.Check(t, p.Replace(test.Context(t))) })
	test.Equal(t, int(lost), 0)
	test.Equal(t, int(p.Stats().Lost), 0)
}

// Tasks that end their worker in every way, among honest ones, which notice nothing.
func TestStormOfCrashes(t *testing.T) {
	p := newTestPool(t, Options{Max: 8, Min: 8, Timeout: 2 * time.Second, Grace: 10 * time.Millisecond, Spawn: &gipc.SpawnOptions{Stderr: io.Discard}})
	ctx := test.Context(t)
	over, stop := context.WithTimeout(ctx, *stormTime)
	defer stop()
	var wg sync.WaitGroup
	for _, do := range []string{"panic", "exit", "goexit", "fail", "stop"} {
		wg.Go(func() {
			for over.Err() == nil {
				_, err := p.Do(ctx, deed{Do: do})
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
					if !errors.Is(err, ErrTimeout) {
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
