package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// More rows of the table in docs/pool.md: codecs, and workers with more than one task.

// picky is a codec that can't encode 13 and can't decode 14.
var picky = gipc.CodecFunc("picky",
	func(dst []byte, v int) ([]byte, error) {
		if v == 13 {
			return dst, errors.New("unlucky")
		}
		return strconv.AppendInt(dst, int64(v), 10), nil
	},
	func(src []byte, v *int) (err error) {
		if *v, err = strconv.Atoi(string(src)); err == nil && *v == 14 {
			err = errors.New("unreadable")
		}
		return err
	})

func init() { gipc.RegisterCodec(picky) }

var increment = Register("increment", func(_ context.Context, n int) (int, error) { return n + 1, nil })

func TestWhatCantBeEncodedOrDecoded(t *testing.T) {
	p, err := New(increment.WithCodecs(picky, picky), &Options{Max: 1})
	test.Check(t, err)
	defer func() { test.Check(t, p.Close()) }()
	ctx := test.Context(t)
	got, err := p.Do(ctx, 1)
	test.Check(t, err)
	test.Equal(t, got, 2)

	says := func(err error, what string) {
		t.Helper()
		if want := "gipc/pool: task increment: " + what; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	_, err = p.Do(ctx, 13) // the argument can't be encoded
	says(err, "argument: encode int")
	test.Equal(t, as[*gipc.EncodeError](t, err).Codec, "picky")
	var failed *TaskError
	test.Equal(t, errors.As(err, &failed), false)

	_, err = p.Do(ctx, 14) // can't be decoded there
	says(err, "argument: decode 2 bytes")
	as[*TaskError](t, err)
	test.Equal(t, as[*gipc.DecodeError](t, err).Err.Error(), "unreadable")

	_, err = p.Do(ctx, 12) // the result can't be encoded
	says(err, "result: encode int")
	as[*TaskError](t, err)
	test.Equal(t, as[*gipc.EncodeError](t, err).Err.Error(), "unlucky")

	p2, err := New(increment.WithCodecs(nil, picky), &Options{Max: 1})
	test.Check(t, err)
	defer func() { test.Check(t, p2.Close()) }()
	_, err = p2.Do(ctx, 13) // the result can't be decoded here
	says(err, "result: decode 2 bytes")
	as[*TaskError](t, err)
	test.Equal(t, as[*gipc.DecodeError](t, err).Type, "int")
}

func TestResultSentBeforeTheWorkerDied(t *testing.T) {
	p := newHostile(t, "result, then dies", Options{Max: 1})
	_, err := p.Do(test.Context(t), deed{})
	test.Check(t, err)
}

func TestTasksOnOneWorkerShareItsFate(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, PerWorker: 2})
	other := start(t, test.Context(t), p, deed{Do: "until told"})
	_, err := p.Do(test.Context(t), deed{Do: "kill"})
	died := as[*WorkerError](t, err)
	test.Equal(t, as[*WorkerError](t, <-other).PID, died.PID)
}

// With PerWorker above 1 a task below Max gets a fresh worker, and then shares.
func TestPerWorkerSpreadsFirst(t *testing.T) {
	p := newTestPool(t, Options{Max: 2, PerWorker: 2})
	ctx, cancel := context.WithCancel(context.Background())
	var results []<-chan error
	for range 3 {
		results = append(results, start(t, ctx, p, deed{Do: "until cancelled"}))
	}
	p.core.mu.Lock()
	loads := map[int]int{}
	for _, w := range p.core.workers {
		loads[len(w.calls)]++
	}
	p.core.mu.Unlock()
	if loads[1] != 1 || loads[2] != 1 {
		t.Errorf("workers with so many tasks: %v", loads)
	}
	cancel()
	for _, r := range results {
		test.Is(t, <-r, context.Canceled)
	}
}

// poolParent is a process that has a pool whose tasks ignore everything.
var poolParent = gipc.Register("pool parent", func(ctx context.Context, dir string) error {
	p, err := New(obey, &Options{Max: 2})
	if err != nil {
		return err
	}
	go func() { _, _ = p.Do(ctx, deed{Do: "stubborn pid", Path: filepath.Join(dir, "1")}) }()
	_, err = p.Do(context.WithoutCancel(ctx), deed{Do: "stubborn pid", Path: filepath.Join(dir, "2")})
	return err
})

func TestThePoolsProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	parent, err := gipc.Spawn(context.Background(), poolParent, dir, nil)
	test.Check(t, err)
	var pids []int
	for _, name := range []string{"1", "2"} {
		pid, err := strconv.Atoi(awaitText(t, filepath.Join(dir, name)))
		test.Check(t, err)
		pids = append(pids, pid)
	}
	test.Check(t, parent.Kill())
	_ = parent.Wait(context.Background()) // it was killed
	for _, pid := range pids {
		test.Eventually(t, "the workers end", func() bool { return !alive(pid) })
	}
}

// With free slots on a ready worker, at most as many tasks wait as workers start.
func TestASlowStartHoldsUpOneTask(t *testing.T) {
	w := newWorld(t, rand.New(rand.NewPCG(1, 0)))
	*w.s.opts = Options{Max: 2, Min: 1, PerWorker: 4, Queue: 10, Idle: time.Hour}
	w.settle()
	w.s.ready(w.begun[0].w, w.now)
	w.settle()
	for range 4 {
		test.Check(t, w.s.admit(&call{wake: make(chan struct{}, 1)}, w.now))
		w.settle()
	}
	test.Equal(t, len(w.begun), 2)
	test.Equal(t, len(w.begun[0].w.calls), 3)
	test.Equal(t, len(w.s.queue), 1)
}

// Large arguments, each of which is followed by an order to run it, reach a worker that runs several tasks at once.
func TestLargeArgumentsOnASharedWorker(t *testing.T) {
	test.Bounded(t)
	p := newTestPool(t, Options{Max: 1, PerWorker: 8})
	data := make([]byte, 64<<10)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range test.Scaled(400) {
				if got, err := p.Do(test.Context(t), deed{Do: "echo", Data: data}); err != nil || len(got.Data) != len(data) {
					t.Error(len(got.Data), err)
				}
			}
		})
	}
	wg.Wait()
}
