package pool

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

func TestCloseAnswersAll(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Grace: time.Minute})
	path := filepath.Join(t.TempDir(), "runs")
	runs := test.Started(func() error {
		_, err := p.Do(context.Background(), deed{Do: "until cancelled", Path: path})
		return err
	})
	test.Eventually(t, "the task runs", func() bool { return exists(path) })
	waits := test.Started(func() error { _, err := p.Do(context.Background(), deed{}); return err })
	test.Eventually(t, "one waits", func() bool { return p.Stats().Waiting == 1 })
	test.Check(t, p.Close())
	test.Is(t, <-runs, ErrClosed)
	test.Is(t, <-waits, ErrClosed)
	_, err := p.Do(context.Background(), deed{})
	test.Is(t, err, ErrClosed)
	test.Is(t, p.WaitReady(context.Background()), ErrClosed)
	test.Is(t, p.Replace(context.Background()), nil)
	test.Equal(t, read(t, path+".end"), "context canceled|"+ErrClosed.Error()) // Close waited for the worker
	test.Equal(t, p.Stats().Workers, 0)
	test.Check(t, p.Close())
}

func TestCloseKillsAfterGrace(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Grace: 50 * time.Millisecond})
	runs := start(t, context.Background(), p, deed{Do: "stubborn"})
	test.Check(t, p.Close())
	test.Is(t, <-runs, ErrClosed)
}

func TestCloseWhileWorkersStart(t *testing.T) {
	for range 10 {
		p := newTestPool(t, Options{Max: 2, Min: 2})
		test.Check(t, p.Close())
	}
}

// A Do whose argument is on the way to a worker that doesn't read returns, too.
func TestCloseWhileArgIsBeingSent(t *testing.T) {
	test.SkipUnderWine(t, "a process can't be stopped there")
	p := newTestPool(t, Options{Max: 1, Grace: 50 * time.Millisecond})
	test.Check(t, stop(pid(t, p)))
	result := test.Started(func() error {
		_, err := p.Do(context.Background(), deed{Data: make([]byte, 8<<20)})
		return err
	})
	test.Eventually(t, "the argument is on its way", func() bool { return p.Stats().Running == 1 })
	test.Check(t, p.Close())
	test.Is(t, <-result, ErrClosed)
}

func TestDrainFinishesWhatItHas(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	hold := filepath.Join(t.TempDir(), "hold")
	runs := test.Started(func() error { _, err := p.Do(context.Background(), deed{Do: "until told", Path: hold}); return err })
	test.Eventually(t, "the task runs", func() bool { return exists(hold) })
	waits := test.Started(func() error { _, err := p.Do(context.Background(), deed{}); return err })
	test.Eventually(t, "one waits", func() bool { return p.Stats().Waiting == 1 })
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	test.Is(t, p.Drain(short), context.DeadlineExceeded)
	drained := test.Started(func() error { return p.Drain(context.Background()) })
	_, err := p.Do(context.Background(), deed{})
	test.Is(t, err, ErrClosed)
	remove(t, hold)
	test.Check(t, <-runs)
	test.Check(t, <-waits)
	test.Check(t, <-drained)
	test.Equal(t, p.Stats().Workers, 0)
}

func TestCloseCutsDrainShort(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Grace: 10 * time.Millisecond})
	runs := start(t, context.Background(), p, deed{Do: "stubborn"})
	drained := test.Started(func() error { return p.Drain(context.Background()) })
	test.Eventually(t, "it drains", func() bool {
		p.core.mu.Lock()
		defer p.core.mu.Unlock()
		return p.core.state == draining
	})
	test.Check(t, p.Close())
	test.Check(t, <-drained)
	test.Is(t, <-runs, ErrClosed)
}

func TestReplace(t *testing.T) {
	p := newTestPool(t, Options{Min: 2, Max: 2})
	test.Check(t, p.WaitReady(test.Context(t)))
	old := pids(p)
	test.Check(t, p.Replace(test.Context(t)))
	for pid := range pids(p) {
		if old[pid] {
			t.Errorf("%d was not replaced", pid)
		}
	}
	test.Equal(t, int(p.Stats().Replaced), 2)
}

// pids returns those of the workers that take tasks.
func pids(p *Pool[deed, done]) map[int]bool {
	p.core.mu.Lock()
	defer p.core.mu.Unlock()
	set := map[int]bool{}
	for _, w := range p.core.workers {
		if w.phase == phaseTaking {
			set[w.pid] = true
		}
	}
	return set
}

func TestReplaceKeepsTheOldWhereNoneCanStart(t *testing.T) {
	dir := t.TempDir()
	o := opening{Fails: filepath.Join(dir, "fails")}
	p := newOpened(t, o, Options{Max: 1})
	before, err := p.Do(test.Context(t), "pid")
	test.Check(t, err)
	announce(o.Fails)
	as[*StartError](t, p.Replace(test.Context(t)))
	after, err := p.Do(test.Context(t), "pid")
	test.Check(t, err)
	test.Equal(t, after, before)
}

func TestWorkersAreReplacedAfterMaxTasks(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, MaxTasks: 10})
	seen := map[int]bool{}
	test.Eventually(t, "four workers", func() bool { seen[pid(t, p)] = true; return len(seen) == 4 })
	test.Equal(t, int(p.Stats().Lost), 0)
}

func TestWorkersAreReplacedAfterMaxAge(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, MaxAge: 20 * time.Millisecond})
	first := pid(t, p)
	test.Eventually(t, "another one", func() bool { return pid(t, p) != first })
	test.Equal(t, int(p.Stats().Lost), 0)
}

var hoard = Register("hoard", func(_ context.Context, n int) (int, error) {
	hoardMore(n)
	return len(hoarded), nil
})

var hoarded [][]byte

// hoardMore takes so many MiB of memory, and keeps them.
func hoardMore(n int) {
	for range n {
		hoarded = append(hoarded, make([]byte, 1<<20))
		for i := 0; i < 1<<20; i += 1024 {
			hoarded[len(hoarded)-1][i] = 1
		}
	}
}

func TestWorkersAreReplacedAboveMaxMemory(t *testing.T) {
	p, err := New(hoard, &Options{Max: 1, MaxMemory: 64 << 20})
	if err != nil {
		t.Skip("the system can't tell: ", err)
	}
	defer func() { test.Check(t, p.Close()) }()
	most := 0
	test.Eventually(t, "a fresh worker", func() bool {
		n, err := p.Do(test.Context(t), 1)
		test.Check(t, err)
		less := n < most
		most = max(most, n)
		return less
	})
	if most < 10 {
		t.Errorf("replaced after %d MiB", most)
	}
	test.Equal(t, int(p.Stats().Lost), 0)
}

func TestRun(t *testing.T) {
	got, err := Run(test.Context(t), obey, deed{Do: "echo", Data: []byte("x")}, nil)
	test.Check(t, err)
	test.Bytes(t, got.Data, []byte("x"))
	_, err = Run(test.Context(t), obey, deed{Do: "panic"}, nil)
	as[*WorkerError](t, err)
	ctx, cancel := context.WithCancel(context.Background())
	path := filepath.Join(t.TempDir(), "runs")
	left := test.Started(func() error { _, err := Run(ctx, obey, deed{Do: "stubborn", Path: path}, nil); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	cancel()
	test.Is(t, <-left, context.Canceled)
}

// Run returns at once when its ctx ends, also while the process ends. It has the result then.
func TestRunWhoseCtxEndsWhileTheProcessLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	o := opening{Leaves: filepath.Join(t.TempDir(), "leaves")}
	left := test.Started(func() error {
		got, err := Run(ctx, opened.With(o), "x", &gipc.SpawnOptions{Grace: time.Hour})
		if err == nil && got != "x" {
			err = errors.New("no result")
		}
		return err
	})
	test.Eventually(t, "the process leaves", func() bool { return exists(o.Leaves) })
	cancel()
	test.Check(t, <-left)
	remove(t, o.Leaves)
}

// The task of a client that leaves ends, and its process with it.
func TestRunInAnHTTPHandlerWhoseClientLeaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs")
	handled := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := Run(r.Context(), obey, deed{Do: "until cancelled", Path: path}, nil)
		handled <- err
	}))
	defer server.Close()
	ctx, leave := context.WithCancel(test.Context(t))
	left := test.Started(func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		test.Check(t, err)
		_, err = server.Client().Do(req)
		return err
	})
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	leave()
	test.Is(t, <-left, context.Canceled)
	test.Is(t, <-handled, context.Canceled)
	test.Eventually(t, "the task has ended", func() bool { return exists(path + ".end") })
}

func TestInProcess(t *testing.T) {
	p := newTestPool(t, Options{Max: 2, InProcess: true, Grace: 20 * time.Millisecond})
	got, err := p.Do(test.Context(t), deed{Do: "echo", Data: []byte("x")})
	test.Check(t, err)
	test.Bytes(t, got.Data, []byte("x"))
	_, err = p.Do(test.Context(t), deed{Do: "goexit"})
	as[*TaskError](t, err)
	ctx, cancel := context.WithCancel(context.Background())
	stubborn := start(t, ctx, p, deed{Do: "stubborn"})
	cancel()
	test.Is(t, <-stubborn, context.Canceled)
	test.Eventually(t, "it is abandoned", func() bool { return p.Stats().Replaced == 1 })
	_, err = p.Do(test.Context(t), deed{})
	test.Check(t, err)
}

var nested = Register("nested", func(ctx context.Context, depth int) (int, error) {
	if depth == 0 {
		return 0, nil
	}
	p, err := New(nestedTask(), &Options{Max: 1})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	n, err := p.Do(ctx, depth-1)
	return n + 1, err
})

var nestedTask func() *Task[int, int]

func init() { nestedTask = func() *Task[int, int] { return nested } }

func TestPoolInAWorkerOfAPool(t *testing.T) {
	n, err := Run(test.Context(t), nested, 3, nil)
	test.Check(t, err)
	test.Equal(t, n, 3)
}

func TestTwoPoolsOfOneTask(t *testing.T) {
	a, b := newTestPool(t, Options{Max: 1}), newTestPool(t, Options{Max: 1})
	test.Equal(t, pid(t, a) != pid(t, b), true)
	test.Check(t, a.Close())
	pid(t, b)
}

func TestTasksStartInTheirOrder(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	dir := t.TempDir()
	hold := filepath.Join(dir, "hold")
	var results []<-chan error
	do := func(d deed) {
		results = append(results, test.Started(func() error { _, err := p.Do(test.Context(t), d); return err }))
	}
	do(deed{Do: "until told", Path: hold})
	test.Eventually(t, "the first runs", func() bool { return exists(hold) })
	order := filepath.Join(dir, "order")
	for i := range 20 {
		do(deed{Do: "count as", Path: order, N: i})
		test.Eventually(t, "it waits", func() bool { return p.Stats().Waiting == i+1 })
	}
	remove(t, hold)
	for _, r := range results {
		test.Check(t, <-r)
	}
	test.Equal(t, read(t, order), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 ")
}

func TestOnTask(t *testing.T) {
	infos := make(chan TaskInfo, 1)
	p := newTestPool(t, Options{Max: 1, OnTask: func(i TaskInfo) { infos <- i }})
	got, err := p.Do(test.Context(t), deed{})
	test.Check(t, err)
	i := <-infos
	if i.PID != got.PID || i.Starts != 1 || i.Ran <= 0 || i.Waited <= 0 || i.Task != "obey" || i.Err != nil {
		t.Errorf("%+v", i)
	}
	_, err = p.Do(test.Context(t), deed{Do: "fail"})
	i = <-infos
	test.Equal(t, i.Err, err)
}

func TestAvailable(t *testing.T) {
	p := newTestPool(t, Options{Max: 2, PerWorker: 2})
	test.Equal(t, p.Available(), 4)
	ctx, cancel := context.WithCancel(context.Background())
	runs := start(t, ctx, p, deed{Do: "until cancelled"})
	test.Equal(t, p.Available(), 3)
	cancel()
	test.Is(t, <-runs, context.Canceled)
	test.Check(t, p.Close())
	test.Equal(t, p.Available(), 0)
}

// Drain ends the workers that have nothing to do while others finish.
func TestDrainEndsIdleWorkers(t *testing.T) {
	p := newTestPool(t, Options{Min: 2, Max: 2})
	test.Check(t, p.WaitReady(test.Context(t)))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result := start(t, ctx, p, deed{Do: "until cancelled"})
	drained := test.Started(func() error { return p.Drain(test.Context(t)) })
	test.Eventually(t, "the other worker ends", func() bool { return p.Stats().Workers == 1 })
	cancel()
	test.Is(t, <-result, context.Canceled)
	test.Check(t, <-drained)
}

// Run starts one process, even if that crashes.
func TestRunStartsOneProcess(t *testing.T) {
	var n atomic.Int32
	_, err := Run(test.Context(t), obey, deed{Do: "kill"}, &gipc.SpawnOptions{Command: func(*exec.Cmd) { n.Add(1) }})
	as[*WorkerError](t, err)
	test.Equal(t, n.Load(), 1)
}
