//go:build unix

package pool

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// hoarders are tasks that take all memory, one each time that a storm is to be bad. The honest tasks beside them notice nothing.
func hoarders(t *testing.T, opts Options) {
	t.Helper()
	nothingIsLeft(t)
	opts.Max, opts.Min = 4, 4
	p := newTestPool(t, opts)
	storm(t, 0, func() {
		_, err := p.Do(test.Context(t), deed{Do: "hoard", N: 4000})
		test.Equal(t, as[*WorkerError](t, err).Exit.Limit, "memory")
	}, honest(t, p, never))
}

func TestStormOfMemoryLimits(t *testing.T) {
	test.SkipUnderQEMU(t, "it ignores limits of memory, which would be its own, too")
	if test.RaceEnabled() {
		t.Skip("the race detector ends a program without memory in its own ways")
	}
	limited := Options{Spawn: &gipc.SpawnOptions{Limits: &gipc.Limits{Memory: 256 << 20}, Stderr: io.Discard}}
	if _, err := Run(test.Context(t), obey, deed{}, limited.Spawn); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the system holds no such limit: ", err)
	}
	hoarders(t, limited)
}

// Workers that stand still cost the task that each has its Timeout, and no other task anything. At most half of them do at once.
func TestStormOfStops(t *testing.T) {
	nothingIsLeft(t)
	p := newTestPool(t, Options{Max: 8, Min: 8, Timeout: 5 * time.Second, Grace: 10 * time.Millisecond})
	stopped, stops := map[int]bool{}, 0
	_, lost := storm(t, 0, func() {
		for pid := range stopped {
			if !alive(pid) {
				delete(stopped, pid)
			}
		}
		if pid := anyWorker(p.core); pid > 0 && len(stopped) < 4 && !stopped[pid] && stop(pid) == nil {
			stopped[pid] = true
			stops++
		}
	}, honest(t, p, func(err error) bool { return errors.Is(err, ErrTimeout) }))
	if lost > stops {
		t.Errorf("%d tasks were lost by %d stops", lost, stops)
	}
}

// Workers that end with what looks like success in the middle of a task are replaced like others, and their tasks run again.
func TestStormOfEndsWithRetries(t *testing.T) {
	nothingIsLeft(t)
	p := newTestPool(t, Options{Max: 8, Min: 8, Retries: 100, Spawn: &gipc.SpawnOptions{Stderr: io.Discard}})
	dir := t.TempDir()
	ways := []string{"exit", "panic", "kill"}
	n := 0
	storm(t, 0, func() {
		n++
		once := filepath.Join(dir, "ended")
		_, err := p.Do(test.Context(t), deed{Do: "end once", Path: once, Way: ways[n%len(ways)]})
		test.Check(t, err)
		remove(t, once)
	}, honest(t, p, never))
	if got := int(p.Stats().Retried); got != n {
		t.Errorf("%d tasks ran again, %d ended their workers", got, n)
	}
}

// While workers are killed, every second one that is to come crashes before it is ready: each Do returns nevertheless, and the
// pool is well again when that is over.
func TestStormOfKillsAndCrashesOfOpen(t *testing.T) {
	o := opening{Starts: filepath.Join(t.TempDir(), "starts"), Every: 2}
	nothingIsLeft(t)
	p := newOpened(t, o, Options{Max: 8, Min: 8, Spawn: &gipc.SpawnOptions{Stderr: io.Discard}})
	storm(t, 0, func() {
		if pid := anyWorker(p.core); pid > 0 {
			_ = killPID(pid)
		}
	}, func(ctx context.Context, i int) (lost bool) {
		got, err := p.Do(ctx, "x")
		var start *StartError
		if killed(err) || errors.As(err, &start) {
			return true
		}
		if err != nil || got != "x" {
			t.Error(got, err)
		}
		return false
	})
	ctx := test.Context(t)
	_, err := p.Do(ctx, "x")
	for start := new(StartError); killed(err) || errors.As(err, &start); { // of the last kills, and starts
		_, err = p.Do(ctx, "x")
	}
	test.Check(t, err)
}
