//go:build unix

package pool

import (
	"context"
	"errors"
	"flag"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

var stormTime = flag.Duration("storm.time", time.Second, "how long workers are killed under load")

// storm runs do on 64 goroutines, again and again, while something bad happens each 50 ms, until its time is over and there were
// least tasks. Do says whether its task was lost to that. It returns how many tasks there were, and how many of them were lost.
func storm(t *testing.T, least int, bad func(), do func(ctx context.Context, i int) (lost bool)) (tasks, lost int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), *stormTime+test.Patience)
	defer cancel()
	end := time.Now().Add(*stormTime)
	var all, gone atomic.Int64
	over := func() bool { return time.Now().After(end) && int(all.Load()) >= least || ctx.Err() != nil }
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for !over() {
				all.Add(1)
				if do(ctx, i) {
					gone.Add(1)
				}
			}
		})
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !over() {
		<-ticker.C
		bad()
	}
	wg.Wait()
	t.Logf("%d tasks, %d lost", all.Load(), gone.Load())
	test.Check(t, ctx.Err())
	return int(all.Load()), int(gone.Load())
}

// plenty is how many tasks a storm is to have. A short one is to show no more than that its test works.
func plenty() int {
	if *stormTime < 10*time.Second || test.RaceEnabled() {
		return 0
	}
	return 100_000
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

// victims are the workers that a test has killed.
type victims struct {
	mu    sync.Mutex
	named map[int]bool // by pid, whether the error of a task names it
	kills int
}

func (v *victims) kill(pid int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, before := v.named[pid]; !before && killPID(pid) == nil {
		v.named[pid] = false
		v.kills++
	}
}

// name says whether err is of a task on a worker that was killed. Each of them had one task.
func (v *victims) name(err error) bool {
	var gone *WorkerError
	if !killed(err) || !errors.As(err, &gone) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	named, ok := v.named[gone.PID]
	v.named[gone.PID] = true
	return ok && !named
}

// check compares the workers that were killed with those of which the pool says so.
func (v *victims) check(t *testing.T, rec *recorder) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	bad := func(e Event) bool { return e.Reason == ReasonLost || e.Reason == ReasonNotStarted }
	for pid := range v.named {
		rec.await(t, "the pool says that a worker was lost", func(e Event) bool { return e.PID == pid && bad(e) })
	}
	wrong := rec.count(func(e Event) bool {
		var exit *gipc.ExitError
		_, ok := v.named[e.PID]
		return bad(e) && (!ok || !errors.As(e.Err, &exit) || exit.Signal != syscall.SIGKILL)
	})
	test.Equal(t, wrong, 0)
}

// nothingIsLeft checks, when the test is over, that the descriptors, goroutines and children are gone that came during it. It is
// to be called before a pool is made.
func nothingIsLeft(t *testing.T) {
	t.Helper()
	_, err := Run(test.Context(t), obey, deed{}, nil) // what is made once is there now
	test.Check(t, err)
	descriptors, goroutines := test.OpenDescriptors(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		test.Eventually(t, "all descriptors are closed", func() bool { return test.OpenDescriptors(t) <= descriptors })
		test.Eventually(t, "all goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
		test.Eventually(t, "all children are gone", func() bool {
			zombie, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if zombie > 0 {
				t.Errorf("nobody waited for child %d", zombie)
			}
			return err == syscall.ECHILD
		})
	})
}

// Each task that fails was on a worker that was killed, and each worker that is killed under a task is named by that one's error.
func TestStormOfKills(t *testing.T) {
	nothingIsLeft(t)
	rec := &recorder{}
	p := newTestPool(t, Options{Max: 8, Min: 8, OnEvent: rec.add})
	v := &victims{named: map[int]bool{}}
	path := filepath.Join(t.TempDir(), "pid")
	sure := 0
	storm(t, plenty(), func() {
		result := test.Started(func() error {
			_, err := p.Do(context.Background(), deed{Do: "stubborn pid", Path: path})
			return err
		})
		pid, err := strconv.Atoi(awaitText(t, path))
		test.Check(t, err)
		v.kill(pid)
		err = <-result
		test.Equal(t, as[*WorkerError](t, err).PID, pid)
		test.Equal(t, v.name(err), true)
		remove(t, path)
		sure++
		if pid := anyWorker(p.core); pid > 0 {
			v.kill(pid)
		}
	}, honest(t, p, v.name))
	t.Logf("%d kills, %d of them surely under a task", v.kills, sure)
	v.check(t, rec)
}

func TestStormOfKillsWithRetries(t *testing.T) {
	nothingIsLeft(t)
	rec := &recorder{}
	p := newTestPool(t, Options{Max: 8, Min: 8, Retries: 100, Shared: 1, OnEvent: rec.add})
	v := &victims{named: map[int]bool{}}
	storm(t, plenty(), func() {
		if pid := anyWorker(p.core); pid > 0 {
			v.kill(pid)
		}
	}, honest(t, p, never))
	t.Logf("%d kills, %d retried", v.kills, p.Stats().Retried)
	v.check(t, rec)
}

func TestStormOfReplacing(t *testing.T) {
	nothingIsLeft(t)
	p := newTestPool(t, Options{Max: 8, Min: 8, MaxTasks: 300})
	storm(t, 0, func() { test.Check(t, p.Replace(test.Context(t))) }, honest(t, p, never))
	test.Equal(t, int(p.Stats().Lost), 0)
}

// Tasks that end their worker in every way, among honest ones, which notice nothing.
func TestStormOfCrashes(t *testing.T) {
	nothingIsLeft(t)
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
