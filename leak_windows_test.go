package gipc

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-gipc/gipc/internal/test"
)

func TestUnusedEndsAreCollected(t *testing.T) {
	before := test.HandleCount(t)
	for range 500 {
		_, _, err := Pipe[int](nil)
		test.Check(t, err)
	}
	if n := test.HandleCount(t); n < before+100 {
		t.Fatalf("%d handles before, %d after: the test proves nothing", before, n)
	}
	for range 100 {
		runtime.GC()
		if test.HandleCount(t) < before+100 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d handles before, %d after", before, test.HandleCount(t))
}

func TestNoHandleIsLeaked(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cycles := 1000
	if testing.Short() {
		cycles = 40
	}
	run := func(cycles int) {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(4)
		for i := range cycles {
			g.Go(func() error { return spawnCycle(ctx, i%3 == 0) })
		}
		test.Check(t, g.Wait())
	}
	run(20)
	before := test.HandleCount(t)
	start := time.Now()
	run(cycles)
	after := test.HandleCount(t)
	t.Logf("%d handles, after %d cycles %d; %v a cycle", before, cycles, after, time.Since(start)/time.Duration(cycles))
	if after > before+20 { // Go starts threads, which have some
		t.Errorf("%d handles, after %d cycles %d", before, cycles, after)
	}
}

// spawnCycle is a child's life from beginning to end, or up to its being killed.
func spawnCycle(ctx context.Context, kill bool) error {
	r, w, err := Pipe[string](nil)
	if err != nil {
		return err
	}
	back, out, err := Pipe[string](nil)
	if err != nil {
		return err
	}
	p, err := Spawn(ctx, entryCopy, lineArgs{r, out}, nil)
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "v"); err != nil {
		return err
	}
	if _, err := back.Get(ctx); err != nil {
		return err
	}
	if kill {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	errClose := w.Close()
	errWait := p.Wait(ctx)
	if kill {
		errWait = nil
	}
	return errors.Join(errClose, errWait, back.Close())
}
