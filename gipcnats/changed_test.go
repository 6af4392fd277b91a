package gipcnats

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

// A program of which two versions are in use: the newer one's argument has a field more. Which one this process is says its
// environment.

type oldArg struct{ N int }

type newArg struct {
	N     int
	Twice bool
}

const isNew = "GIPCNATS_TEST_NEW"

var (
	oldTask *pool.Task[oldArg, int]
	newTask *pool.Task[newArg, int]
)

func init() {
	if os.Getenv(isNew) == "" {
		oldTask = pool.Register("changing", func(_ context.Context, a oldArg) (int, error) { return a.N + 1, nil })
		return
	}
	newTask = pool.Register("changing", func(_ context.Context, a newArg) (int, error) {
		if !a.Twice {
			return 0, os.ErrInvalid // as an old client's argument would look
		}
		return 2 * a.N, nil
	})
}

// newThere is the newer version's worker and client: it does a task for each number that comes, as long as any do.
var newThere = gipc.Register("gipcnats test changed", func(ctx context.Context, a struct {
	URL string
	End *gipc.Duplex[int, int]
},
) error {
	nc, err := dial(a.URL)
	if err != nil {
		return err
	}
	defer nc.Close()
	p, err := pool.New(newTask, &pool.Options{Max: 1})
	if err != nil {
		return err
	}
	serveCtx, stop := context.WithCancel(ctx)
	defer stop()
	served := test.Started(func() error { return Serve(serveCtx, nc, p, nil) })
	c, err := NewClient(nc, newTask, nil)
	if err != nil {
		return err
	}
	for n, err := range a.End.All(ctx) {
		if err != nil {
			return err
		}
		result, err := c.Do(ctx, newArg{N: n, Twice: true})
		if err != nil {
			return err
		}
		if err := a.End.Put(ctx, result); err != nil {
			return err
		}
	}
	if err := c.Close(); err != nil {
		return err
	}
	stop()
	if err := <-served; err != nil {
		return err
	}
	return p.Close()
})

// In a deploy that changes a task's argument, old and new workers run side by side, and each gets its own. What nobody understands
// is ErrNoWorker.
func TestChangedArgument(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	here, there, err := gipc.NewDuplex[int, int](nil, nil)
	test.Check(t, err)
	child, err := gipc.Spawn(ctx, newThere, struct {
		URL string
		End *gipc.Duplex[int, int]
	}{url, there}, &gipc.SpawnOptions{Env: append(os.Environ(), isNew+"=1")})
	test.Check(t, err)
	doNew := func(n int) {
		t.Helper()
		test.Check(t, here.Put(ctx, n))
		got, err := here.Get(ctx)
		test.Check(t, err)
		test.Equal(t, got, 2*n)
	}
	doNew(5)

	old, err := NewClient(connect(t, url), oldTask, &Options{NoWorker: 300 * time.Millisecond})
	test.Check(t, err)
	t.Cleanup(func() { test.Check(t, old.Close()) })
	_, err = old.Do(ctx, oldArg{5})
	test.Is(t, err, ErrNoWorker) // though there is a worker of this name

	p, err := pool.New(oldTask, &pool.Options{Max: 1})
	test.Check(t, err)
	serveCtx, stop := context.WithCancel(ctx)
	served := test.Started(func() error { return Serve(serveCtx, connect(t, url), p, nil) })
	patient, err := NewClient(connect(t, url), oldTask, nil)
	test.Check(t, err)
	t.Cleanup(func() { test.Check(t, patient.Close()) })
	for n := range 20 {
		got, err := patient.Do(ctx, oldArg{n})
		test.Check(t, err)
		test.Equal(t, got, n+1)
		doNew(n)
	}
	stop()
	test.Check(t, <-served)
	test.Check(t, p.Close())
	test.Check(t, here.CloseWrite())
	test.Check(t, child.Wait(ctx))
}
