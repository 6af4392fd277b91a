//go:build unix

package pool

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// A task that kills each worker that it gets costs honest ones no more than the time of the starts: for each worker that is lost
// another one starts at that moment, no worker is idle while a task waits, and nothing else is missing.
func TestPoisonCostsOthersTheStartsAlone(t *testing.T) {
	rec := &recorder{}
	p := newTestPool(t, Options{Max: 2, Min: 2, Retries: 2, OnEvent: rec.add})
	test.Check(t, p.WaitReady(test.Context(t)))
	began := time.Now()
	var missing, last time.Duration // a lack of workers, added up, until last
	lacking := 0
	over := always(t, p.core, "each lost worker has a successor that starts, and none is idle while a task waits", func() bool {
		now := time.Since(began)
		missing += time.Duration(lacking) * (now - last)
		last, lacking = now, 2-p.core.n[phaseTaking]
		return p.core.n[phaseTaking]+p.core.coming() == 2 && (len(p.core.queue) == 0 || len(p.core.idle) == 0)
	})
	busy, stop := context.WithTimeout(test.Context(t), *stormTime)
	defer stop()
	var honest sync.WaitGroup
	for range 64 {
		honest.Go(func() {
			for busy.Err() == nil {
				if _, err := p.Do(test.Context(t), deed{}); err != nil {
					t.Error(err) // the poison is never beside it
				}
			}
		})
	}
	poison := 0
	for ; busy.Err() == nil; poison++ {
		_, err := p.Do(test.Context(t), deed{Do: "kill"})
		test.Equal(t, as[*WorkerError](t, err).Starts, 3)
	}
	honest.Wait()
	awaitState(t, p.core, func() bool { return p.core.n[phaseTaking] == 2 })
	over()
	stats := p.Stats()
	test.Equal(t, int(stats.Lost), 3*poison)
	test.Equal(t, int(stats.Failed), poison)
	test.Eventually(t, "no worker more was started", func() bool {
		return rec.count(func(e Event) bool { return e.Kind == EventReady }) == 2+3*poison
	})
	t.Logf("%d honest tasks, %d workers lost, each for %v", stats.Done, stats.Lost, missing/time.Duration(stats.Lost))
}

// As systemd and Kubernetes end a service: SIGTERM to all its processes, and the parent drains.
func TestDrainWhileAllGetSIGTERM(t *testing.T) {
	p := newTestPool(t, Options{Min: 2, Max: 2, PerWorker: 4})
	dir := t.TempDir()
	var results []<-chan error
	for i := range 8 {
		hold := filepath.Join(dir, string(rune('a'+i)))
		results = append(results, test.Started(func() error { _, err := p.Do(context.Background(), deed{Do: "until told", Path: hold}); return err }))
	}
	test.Eventually(t, "all run", func() bool { files, _ := filepath.Glob(dir + "/?"); return len(files) == 8 })
	for pid := range pids(p) {
		test.Check(t, syscall.Kill(-pid, syscall.SIGTERM))
		test.Check(t, syscall.Kill(-pid, syscall.SIGINT))
	}
	drained := test.Started(func() error { return p.Drain(context.Background()) })
	for i := range 8 {
		remove(t, filepath.Join(dir, string(rune('a'+i))))
	}
	for _, r := range results {
		test.Check(t, <-r)
	}
	test.Check(t, <-drained)
}

// The output of workers is written by one goroutine at a time.
func TestWorkersShareAWriter(t *testing.T) {
	var out racyWriter
	p := newTestPool(t, Options{Min: 4, Max: 4, Spawn: &gipc.SpawnOptions{Stdout: &out, Stderr: &out}})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := p.Do(test.Context(t), deed{Do: "print"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	test.Check(t, p.Close())
	test.Equal(t, out.n, 16*len("printed\n"))
}

type racyWriter struct{ n int }

func (w *racyWriter) Write(b []byte) (int, error) { w.n += len(b); return len(b), nil }

func TestWorkerEndsBeforeItHasAllOfTheArgument(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	before := pid(t, p)
	test.Check(t, stop(before))
	result := test.Started(func() error {
		got, err := p.Do(context.Background(), deed{Do: "echo", Data: make([]byte, 8<<20)})
		if err == nil && len(got.Data) != 8<<20 {
			err = errors.New("wrong result")
		}
		return err
	})
	test.Eventually(t, "the argument is on its way", func() bool {
		p.core.mu.Lock()
		defer p.core.mu.Unlock()
		return len(p.core.workers) == 1 && p.core.workers[0].channel.Stats().Calls > 0
	})
	test.Check(t, killPID(before))
	test.Check(t, <-result)
	test.Equal(t, int(p.Stats().Retried), 0)
	test.Equal(t, int(p.Stats().Lost), 1)
}

// A task whose worker is lost before it has the whole argument goes first in the queue, and not behind those that came
// after it.
func TestTaskThatWasNotSentGoesFirst(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	first := pid(t, p)
	test.Check(t, stop(first))
	order := filepath.Join(t.TempDir(), "order")
	var results []<-chan error
	for i := range 4 {
		d := deed{Do: "count as", Path: order, N: i}
		if i == 0 {
			d.Data = make([]byte, 8<<20)
		}
		results = append(results, test.Started(func() error { _, err := p.Do(test.Context(t), d); return err }))
		awaitState(t, p.core, func() bool { return p.core.calls == i+1 })
	}
	test.Eventually(t, "the first one's argument is on its way", func() bool {
		p.core.mu.Lock()
		defer p.core.mu.Unlock()
		return p.core.workers[0].channel.Stats().Calls > 0
	})
	test.Check(t, killPID(first))
	for _, r := range results {
		test.Check(t, <-r)
	}
	test.Equal(t, read(t, order), "0 1 2 3 ")
}

// A worker that takes more memory than its limit costs its task, and is told apart from a crash.
func TestWorkerAboveItsMemoryLimit(t *testing.T) {
	if test.RaceEnabled() {
		t.Skip("the race detector ends a program without memory in its own ways")
	}
	test.SkipUnderQEMU(t, "it ignores limits of memory, which would be its own, too")
	p, err := New(hoard, &Options{Max: 1, Spawn: &gipc.SpawnOptions{Limits: &gipc.Limits{Memory: 256 << 20}, Stderr: io.Discard}})
	test.Check(t, err)
	defer func() { test.Check(t, p.Close()) }()
	_, err = p.Do(test.Context(t), 1)
	if failed := new(StartError); errors.As(err, &failed) && errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the system holds no such limit: ", err)
	}
	test.Check(t, err)
	_, err = p.Do(test.Context(t), 2000)
	test.Equal(t, as[*WorkerError](t, err).Exit.Limit, "memory")
	_, err = p.Do(test.Context(t), 1)
	test.Check(t, err)
}
