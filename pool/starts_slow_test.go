package pool

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// slowStart returns what open needs to take until release is called.
func slowStart(t *testing.T) (o opening, release func()) {
	t.Helper()
	dir := t.TempDir()
	o = opening{Starts: filepath.Join(dir, "starts"), Holds: filepath.Join(dir, "holds")}
	announce(o.Holds)
	return o, func() { remove(t, o.Holds) }
}

// A start that takes long costs the tasks on other workers nothing, and none of them waits for it.
func TestSlowStartDelaysNoOtherWorker(t *testing.T) {
	ctx := test.Context(t)
	o, release := slowStart(t)
	release()
	p := newOpened(t, o, Options{Max: 2, Min: 1})
	test.Check(t, p.WaitReady(ctx))
	first, err := p.Do(ctx, "pid")
	test.Check(t, err)

	announce(o.Holds)
	busy := o.Starts + ".busy"
	long := test.Started(func() error { _, err := p.Do(ctx, "hold "+busy); return err })
	test.Eventually(t, "the worker is busy", func() bool { return exists(busy) })
	waits := test.Started(func() error { _, err := p.Do(ctx, "x"); return err })
	test.Eventually(t, "another one starts", func() bool { return size(o.Starts) == 2 })
	remove(t, busy)
	test.Check(t, <-long)
	test.Check(t, <-waits)
	for range 20 {
		got, err := p.Do(ctx, "pid")
		test.Check(t, err)
		test.Equal(t, got, first)
	}
	test.Equal(t, size(o.Starts), 2) // none of them had one more started
	release()
	test.Eventually(t, "the other one is there", func() bool { return p.Stats().Idle == 2 })
	test.Equal(t, int(p.Stats().Lost), 0)
}

func TestWaitReadyWaitsForSlowStarts(t *testing.T) {
	o, release := slowStart(t)
	p := newOpened(t, o, Options{Max: 2, Min: 2})
	ctx, cancel := context.WithCancel(test.Context(t))
	given := test.Started(func() error { return p.WaitReady(ctx) })
	ready := test.Started(func() error { return p.WaitReady(test.Context(t)) })
	test.Eventually(t, "both start", func() bool { return size(o.Starts) == 2 })
	test.Equal(t, p.Stats().Idle, 0)
	cancel()
	test.Is(t, <-given, context.Canceled)
	select {
	case err := <-ready:
		t.Error("it is ready without a worker:", err)
	default:
	}
	release()
	test.Check(t, <-ready)
	test.Equal(t, p.Stats().Idle, 2)
}

// A Do whose ctx ends, or whose pool is closed, waits no longer for a worker that starts; nor does Close.
func TestSlowStartHoldsUpNeitherCtxNorClose(t *testing.T) {
	o, _ := slowStart(t)
	rec := &recorder{}
	p := newOpened(t, o, Options{Max: 1, Grace: 10 * time.Millisecond, OnEvent: rec.add})
	ctx, cancel := context.WithCancel(test.Context(t))
	left := test.Started(func() error { _, err := p.Do(ctx, "x"); return err })
	waits := test.Started(func() error { _, err := p.Do(test.Context(t), "x"); return err })
	test.Eventually(t, "the worker starts", func() bool { return size(o.Starts) == 1 && p.Stats().Waiting == 2 })
	cancel()
	test.Is(t, <-left, context.Canceled)
	select {
	case err := <-waits:
		t.Error("the other one left, too:", err)
	default:
	}
	test.Check(t, p.Close())
	test.Is(t, <-waits, ErrClosed)
	test.Equal(t, p.Stats().Workers, 0)
	if n := rec.count(func(e Event) bool { return e.Reason == ReasonLost || e.Reason == ReasonNotStarted }); n > 0 {
		t.Errorf("%d workers that were told to end count as lost or not started", n)
	}
}
