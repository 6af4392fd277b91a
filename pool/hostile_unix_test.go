//go:build unix

package pool

import (
	"io"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

func TestWorkerThatWritesToAllDescriptorsIsKilled(t *testing.T) {
	p := newHostile(t, "writes to all descriptors", Options{Max: 1})
	_, err := p.Do(test.Context(t), deed{})
	if died := as[*WorkerError](t, err); died.Exit.Code == 0 {
		t.Error(died)
	}
}

// A task that closes the descriptors of the library in its process loses its worker, and no other task anything.
func TestTaskThatClosesAllDescriptorsLosesItsWorker(t *testing.T) {
	for _, way := range []string{"return", "stay"} {
		t.Run(way, func(t *testing.T) {
			p := newTestPool(t, Options{Max: 2, Min: 2, Spawn: &gipc.SpawnOptions{Stderr: io.Discard}})
			other := start(t, test.Context(t), p, deed{Do: "until told"})
			_, err := p.Do(test.Context(t), deed{Do: "close descriptors", Way: way})
			died := as[*WorkerError](t, err)
			test.Eventually(t, "it is gone", func() bool { return !alive(died.PID) })
			test.Equal(t, pid(t, p) != died.PID, true)
			test.Equal(t, int(p.Stats().Lost), 1)
			select {
			case err := <-other:
				t.Error("the other task ended:", err)
			default:
			}
		})
	}
}

// A process that a task leaves behind and that holds the worker's stderr delays nobody by more than 2 s: neither Do nor Close.
func TestGrandchildThatHoldsStderrDelaysNobody(t *testing.T) {
	const delay = 2 * time.Second
	for _, way := range []string{"exit", "kill", "close"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := newTestPool(t, Options{Max: 2, Min: 2, Spawn: &gipc.SpawnOptions{Stderr: io.Discard, Stdout: io.Discard}})
			test.Check(t, p.WaitReady(test.Context(t)))
			path := filepath.Join(t.TempDir(), "grandchild")
			began := time.Now()
			_, err := p.Do(test.Context(t), deed{Do: "leave a grandchild", Path: path, Way: way})
			left, errLeft := strconv.Atoi(read(t, path))
			test.Check(t, errLeft)
			defer func() { test.Check(t, killPID(left)) }()
			if way == "close" {
				test.Check(t, err)
				began = time.Now()
				test.Check(t, p.Close())
			} else {
				as[*WorkerError](t, err)
			}
			took := time.Since(began)
			t.Logf("%v", took)
			if limit := delay + 10*promptly(); took > limit {
				t.Errorf("it took %v, above %v", took, limit)
			}
			test.Equal(t, alive(left), true)
			if way != "close" {
				pid(t, p)
			}
		})
	}
}
