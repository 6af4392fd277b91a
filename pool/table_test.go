package pool

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// What happens to a task, as the table of failures in docs/pool.md says. Each test is named after its row.

// pid returns that of the pool's worker, by a task.
func pid(t testing.TB, p *Pool[deed, done]) int {
	t.Helper()
	got, err := p.Do(test.Context(t), deed{})
	test.Check(t, err)
	return got.PID
}

// start starts a task and waits until it runs.
func start(t testing.TB, ctx context.Context, p *Pool[deed, done], d deed) <-chan error {
	t.Helper()
	d.Path = filepath.Join(t.TempDir(), "runs")
	result := test.Started(func() error { _, err := p.Do(ctx, d); return err })
	test.Eventually(t, "the task runs", func() bool { return exists(d.Path) })
	return result
}

func as[E error](t testing.TB, err error) E {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("error is %T, %v", err, err)
	}
	return e
}

func TestFnReturnsAnError(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	before := pid(t, p)
	_, err := p.Do(test.Context(t), deed{Do: "fail", N: 7})
	failed := as[*TaskError](t, err)
	test.Is(t, err, fs.ErrNotExist)
	test.Equal(t, failed.Err.Error(), "no luck with 7: file does not exist")
	test.Equal(t, err.Error(), "gipc/pool: task obey: no luck with 7: file does not exist")
	_, err = p.Do(test.Context(t), deed{Do: "fail registered"})
	test.Is(t, err, errRegistered)
	test.Equal(t, pid(t, p), before)
}

func TestThePoolsSentinelsDontMatchThroughATaskError(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	_, err := p.Do(test.Context(t), deed{Do: "fail closed"})
	as[*TaskError](t, err)
	test.IsNot(t, err, ErrClosed)
	_, err = p.Do(test.Context(t), deed{Do: "fail canceled"})
	as[*TaskError](t, err) // so it isn't the caller's
	test.Is(t, err, context.Canceled)
}

func TestFnPanics(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	before := pid(t, p)
	_, err := p.Do(test.Context(t), deed{Do: "panic"})
	died := as[*WorkerError](t, err)
	test.Equal(t, died.PID, before)
	test.Equal(t, died.Starts, 1)
	test.Equal(t, died.Exit.Panic, "as told")
	if len(died.Exit.Stack) == 0 {
		t.Error("no stack")
	}
	if pid(t, p) == before {
		t.Error("the worker lives on")
	}
}

func TestFnCallsExit(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	for _, code := range []int{3, 0} {
		_, err := p.Do(test.Context(t), deed{Do: "exit", N: code})
		test.Equal(t, as[*WorkerError](t, err).Exit.Code, code)
	}
	pid(t, p)
}

func TestFnIsKilled(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	_, err := p.Do(test.Context(t), deed{Do: "kill"})
	exit := as[*WorkerError](t, err).Exit
	test.Equal(t, exit.Code != 0, true)
	if exit.Err != nil {
		t.Errorf("blamed on the pool: %v", exit)
	}
}

func TestKilledTaskRunsAgainUpToRetries(t *testing.T) {
	p := newTestPool(t, Options{Max: 2, Retries: 2})
	d := deed{Do: "end once", Way: "kill", Path: filepath.Join(t.TempDir(), "died")}
	_, err := p.Do(test.Context(t), d)
	test.Check(t, err)
	_, err = p.Do(test.Context(t), deed{Do: "kill"})
	test.Equal(t, as[*WorkerError](t, err).Starts, 3)
	test.Equal(t, int(p.Stats().Retried), 3)
}

func TestFnCallsGoexit(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	before := pid(t, p)
	_, err := p.Do(test.Context(t), deed{Do: "goexit"})
	test.Equal(t, as[*TaskError](t, err).Err.Error(), "the task called runtime.Goexit")
	test.Equal(t, pid(t, p), before)
}

func TestCtxEndsWhileTheTaskWaits(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	hold, release := context.WithCancel(context.Background())
	first := start(t, hold, p, deed{Do: "until cancelled"})
	ctx, cancel := context.WithCancelCause(context.Background())
	counted := filepath.Join(t.TempDir(), "count")
	second := test.Started(func() error { _, err := p.Do(ctx, deed{Do: "count", Path: counted}); return err })
	test.Eventually(t, "it waits", func() bool { return p.Stats().Waiting == 1 })
	why := errors.New("the client left")
	cancel(why)
	test.Is(t, <-second, context.Canceled, why)
	release()
	test.Is(t, <-first, context.Canceled)
	pid(t, p)
	test.Equal(t, exists(counted), false)
}

func TestCtxEndsWhileTheTaskRuns(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	before := pid(t, p)
	ctx, cancel := context.WithCancelCause(context.Background())
	path := filepath.Join(t.TempDir(), "runs")
	result := test.Started(func() error {
		_, err := p.Do(ctx, deed{Do: "until cancelled", Path: path})
		return err
	})
	test.Eventually(t, "the task runs", func() bool { return exists(path) })
	cancel(fs.ErrPermission)
	err := <-result
	test.Is(t, err, context.Canceled, fs.ErrPermission)
	var failed *TaskError
	test.Equal(t, errors.As(err, &failed), false)
	test.Equal(t, pid(t, p), before) // fn returned in time
	test.Equal(t, awaitText(t, path+".end"), "context canceled|permission denied")
}

func TestTimeoutEndsWhileTheTaskRuns(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Timeout: 50 * time.Millisecond, Grace: time.Minute})
	before := pid(t, p)
	path := filepath.Join(t.TempDir(), "runs")
	_, err := p.Do(test.Context(t), deed{Do: "until cancelled", Path: path})
	test.Is(t, err, ErrTimeout)
	test.Equal(t, awaitText(t, path+".end"), "context deadline exceeded|"+ErrTimeout.Error())
	test.Equal(t, pid(t, p), before)
}

func TestFnThatIgnoresItsCtxCostsItsWorker(t *testing.T) {
	rec := &recorder{}
	p := newTestPool(t, Options{Max: 2, Min: 2, Grace: 50 * time.Millisecond, OnEvent: rec.add})
	other := start(t, test.Context(t), p, deed{Do: "until told"})
	ctx, cancel := context.WithCancel(context.Background())
	result := start(t, ctx, p, deed{Do: "stubborn"})
	began := time.Now()
	cancel()
	test.Is(t, <-result, context.Canceled)
	if d := time.Since(began); d > 40*time.Millisecond && !test.RaceEnabled() {
		t.Errorf("Do took %v to return", d)
	}
	rec.await(t, "the worker is killed", func(e Event) bool { return e.Reason == ReasonOverdue && e.Err != nil })
	pid(t, p)
	test.Equal(t, int(p.Stats().Lost), 0)
	test.Equal(t, int(p.Stats().Replaced), 1)
	select {
	case err := <-other:
		t.Error("the other task ended:", err)
	default:
	}
}

func TestOverdueTaskLetsOthersOnItsWorkerEnd(t *testing.T) {
	rec := &recorder{}
	p := newTestPool(t, Options{Max: 1, PerWorker: 2, Grace: 20 * time.Millisecond, OnEvent: rec.add})
	hold := filepath.Join(t.TempDir(), "hold")
	other := test.Started(func() error { _, err := p.Do(test.Context(t), deed{Do: "until told", Path: hold}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(hold) })
	first := pid(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	result := start(t, ctx, p, deed{Do: "stubborn"})
	cancel()
	test.Is(t, <-result, context.Canceled)
	test.Eventually(t, "a fresh worker takes over", func() bool { return pid(t, p) != first })
	remove(t, hold)
	test.Check(t, <-other)
	rec.await(t, "the worker is killed", func(e Event) bool { return e.Reason == ReasonOverdue && e.PID == first && e.Err != nil })
}

func TestCtxEndsWhileArgIsBeingSent(t *testing.T) {
	test.SkipUnderWine(t, "a process can't be stopped there")
	rec := &recorder{}
	p := newTestPool(t, Options{Max: 1, PerWorker: 3, Grace: time.Minute, OnEvent: rec.add})
	before := pid(t, p)
	test.Check(t, stop(before))
	ctx, cancel := context.WithCancel(context.Background())
	counted := filepath.Join(t.TempDir(), "count")
	result := test.Started(func() error {
		_, err := p.Do(ctx, deed{Do: "count", Path: counted, Data: make([]byte, 8<<20)})
		return err
	})
	test.Eventually(t, "the argument is on its way", func() bool {
		p.core.mu.Lock()
		defer p.core.mu.Unlock()
		return len(p.core.workers) == 1 && p.core.workers[0].channel.Stats().BytesSent > 0 && p.core.workers[0].channel.Stats().Calls == 1
	})
	cancel()
	test.Is(t, <-result, context.Canceled)
	test.Check(t, cont(before))
	test.Equal(t, pid(t, p), before)
	test.Eventually(t, "the slot is free", func() bool { return p.Stats().Running == 0 })
	test.Equal(t, exists(counted), false) // the worker dropped it
}

func TestQueueFull(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Queue: 1})
	ctx, cancel := context.WithCancel(context.Background())
	first := start(t, ctx, p, deed{Do: "until cancelled"})
	second := test.Started(func() error { _, err := p.Do(ctx, deed{}); return err })
	test.Eventually(t, "one waits", func() bool { return p.Stats().Waiting == 1 })
	_, err := p.Do(context.Background(), deed{})
	test.Is(t, err, ErrQueueFull)
	cancel()
	test.Is(t, <-first, context.Canceled)
	test.Is(t, <-second, context.Canceled)
	pid(t, p)
}

func TestQueueOfNone(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Queue: -1})
	ctx, cancel := context.WithCancel(context.Background())
	first := start(t, ctx, p, deed{Do: "until cancelled"})
	_, err := p.Do(context.Background(), deed{})
	test.Is(t, err, ErrQueueFull)
	cancel()
	test.Is(t, <-first, context.Canceled)
}

func TestArgIsTooLarge(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, MaxArg: 1000})
	before := pid(t, p)
	_, err := p.Do(test.Context(t), deed{Data: make([]byte, 1001)})
	size := as[*gipc.TooLargeError](t, err)
	test.Equal(t, size.Limit, 1000)
	test.Equal(t, pid(t, p), before)
}

func TestResultIsTooLarge(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, MaxResult: 1000})
	before := pid(t, p)
	for _, n := range []int{1001, 3 << 20} {
		_, err := p.Do(test.Context(t), deed{Do: "make", N: n})
		as[*TaskError](t, err)
		test.Equal(t, as[*gipc.TooLargeError](t, err).Limit, 1000)
	}
	test.Equal(t, pid(t, p), before)
}

func TestWorkerStopsUnderATask(t *testing.T) {
	test.SkipUnderWine(t, "a process can't be stopped there")
	p := newTestPool(t, Options{Max: 1, Timeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond})
	_, err := p.Do(test.Context(t), deed{Do: "stop"})
	test.Is(t, err, ErrTimeout)
	pid(t, p)
}

func TestSignalsForTheWholeServiceAreSurvived(t *testing.T) {
	test.SkipUnderWine(t, "it has no such signals")
	p := newTestPool(t, Options{Max: 1})
	before := pid(t, p)
	_, err := p.Do(test.Context(t), deed{Do: "terminate"})
	test.Check(t, err)
	test.Equal(t, pid(t, p), before)
}

func TestFnKnowsTheDeadline(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Timeout: time.Hour})
	got, err := p.Do(test.Context(t), deed{Do: "deadline", N: 1 + int(test.Patience/time.Second)})
	test.Check(t, err)
	test.Equal(t, got.Text, "true false") // that of test.Context
	got, err = p.Do(context.Background(), deed{Do: "deadline", N: 3000})
	test.Check(t, err)
	test.Equal(t, got.Text, "true true")
}

// A cancelled task is told so however small arguments must be.
func TestCauseAboveMaxArg(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, MaxArg: 300, Grace: 2 * time.Second})
	ctx, cancel := context.WithCancelCause(context.Background())
	before := pid(t, p)
	result := start(t, ctx, p, deed{Do: "until cancelled"})
	cancel(errors.New(strings.Repeat("why ", 100)))
	test.Is(t, <-result, context.Canceled)
	test.Equal(t, pid(t, p), before)
}
