package gipcnats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

func TestDo(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	serving(t, url, nil, nil)
	c := clientOf(t, url, nil)
	for i := range 100 {
		r, err := c.Do(ctx, deed{N: i})
		test.Check(t, err)
		test.Equal(t, r.N, i)
	}
	empty(t, c)
}

func TestServeWhoseCtxHasEnded(t *testing.T) {
	t.Parallel()
	nc := connect(t, startServer(t).url())
	p, err := pool.New(obey, nil)
	test.Check(t, err)
	defer func() { test.Check(t, p.Close()) }()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	test.Check(t, Serve(ctx, nc, p, nil))
}

func TestClientClosesAgain(t *testing.T) {
	t.Parallel()
	c := clientOf(t, startServer(t).url(), nil)
	test.Check(t, c.Close())
	test.Check(t, c.Close())
}

// empty fails the test unless the client has left nothing on the server.
func empty(t testing.TB, c *Client[deed, done]) {
	t.Helper()
	gone(t, c, "task.>", "result.>", "state.starts.>")
}

// gone fails the test unless the client has left nothing of these subjects.
func gone(t testing.TB, c *Client[deed, done], subjects ...string) {
	t.Helper()
	k := c.core
	for _, subject := range subjects {
		test.Eventually(t, "no message is left in "+subject, func() bool {
			for _, stream := range []string{k.taskStream(k.kind), k.resultStream(), k.stateStream()} {
				s, err := k.js.Stream(t.Context(), stream)
				test.Check(t, err)
				if m, err := latest(t.Context(), s, k.prefix+"."+subject); err != nil || m != nil {
					return false
				}
			}
			return true
		})
	}
}

func TestErrorsOfTasks(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	serving(t, url, nil, &pool.Options{Timeout: 100 * time.Millisecond, MaxArg: 1 << 20})
	c := clientOf(t, url, nil)

	_, err := c.Do(ctx, deed{Do: "fail", N: 7})
	var task *pool.TaskError
	if !errors.As(err, &task) {
		t.Fatalf("got %v", err)
	}
	test.Is(t, err, fs.ErrNotExist)
	test.Equal(t, task.Err.Error(), "no luck with 7: file does not exist")

	_, err = c.Do(ctx, deed{Do: "fail registered"})
	test.Is(t, err, errRegistered)

	_, err = c.Do(ctx, deed{Do: "until cancelled", Path: filepath.Join(t.TempDir(), "x")})
	test.Is(t, err, pool.ErrTimeout)

	_, err = c.Do(ctx, deed{Do: "echo", Data: make([]byte, 1<<20+1)})
	var size *gipc.TooLargeError
	if !errors.As(err, &size) || size.Limit != 1<<20 {
		t.Fatalf("got %v", err)
	}
	empty(t, c)
}

func TestAllKeepsTheOrder(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	serving(t, url, nil, nil)
	c := clientOf(t, url, &Options{Window: 16})
	n := 0
	for r, err := range c.All(test.Context(t), numbers(200)) {
		test.Check(t, err)
		test.Equal(t, r.N, n)
		n++
	}
	test.Equal(t, n, 200)
	empty(t, c)
}

func numbers(n int) func(func(deed) bool) {
	return func(yield func(deed) bool) {
		for i := range n {
			if !yield(deed{N: i}) {
				return
			}
		}
	}
}

func TestAllEndsWithItsCtxsError(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	c := clientOf(t, url, &Options{Window: 4})
	ctx, cancel := context.WithCancel(test.Context(t))
	args := func(yield func(deed) bool) {
		for i := 0; yield(deed{N: i}); i++ {
			if i == 2 { // behind the fourth it waits for room
				cancel()
			}
		}
	}
	var errs []error
	for _, err := range c.All(ctx, args) {
		errs = append(errs, err)
	}
	test.Equal(t, len(errs), 1)
	test.Is(t, errs[0], context.Canceled)
	empty(t, c)
}

func TestAllPassesOnAPanicOfArgs(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	serving(t, url, nil, nil)
	c := clientOf(t, url, nil)
	test.Panics(t, func() {
		for range c.All(test.Context(t), func(func(deed) bool) { panic("args") }) {
			t.Error("a result of nothing")
		}
	})
}

func TestAFullStream(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := &Options{MaxTasks: 3}
	c := clientOf(t, url, o)
	var ended []<-chan error
	for i := range 3 {
		ended = append(ended, test.Started(func() error { _, err := c.Do(ctx, deed{N: i}); return err }))
	}
	test.Eventually(t, "three tasks are stored", func() bool {
		info, err := c.core.tasks.Info(ctx)
		test.Check(t, err)
		return info.State.Msgs == 3
	})
	_, err := c.Do(ctx, deed{})
	test.Is(t, err, pool.ErrQueueFull)
	all := test.Started(func() error { // waits for room
		for _, err := range c.All(ctx, numbers(10)) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	serving(t, url, o, nil)
	for _, e := range append(ended, all) {
		test.Check(t, <-e)
	}
}

func TestCancelWhileItWaits(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	c := clientOf(t, url, nil)
	ctx, cancel := context.WithCancelCause(test.Context(t))
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{}); return err })
	stored(t, c, 1)
	cause := errors.New("a cause")
	cancel(cause)
	test.Is(t, <-ended, context.Canceled, cause)
	stored(t, c, 0)
}

// stored waits until so many tasks are in the stream.
func stored(t testing.TB, c *Client[deed, done], n uint64) {
	t.Helper()
	test.Eventually(t, fmt.Sprint(n, " tasks are stored"), func() bool {
		info, err := c.core.tasks.Info(t.Context())
		return err == nil && info.State.Msgs == n
	})
}

func TestCancelWhileItRuns(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	serving(t, url, nil, nil)
	c := clientOf(t, url, nil)
	path := filepath.Join(t.TempDir(), "x")
	ctx, cancel := context.WithCancel(test.Context(t))
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{Do: "until cancelled", Path: path}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	cancel()
	test.Is(t, <-ended, context.Canceled)
	test.Eventually(t, "its ctx ends", func() bool { return exists(path + ".end") })
	empty(t, c)
}

// A Serve that was away when a task was cancelled looks whether the task is still there.
func TestCancelThatIsLost(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	o := quick()
	serving(t, url, o, nil)
	c := clientOf(t, url, o)
	path := filepath.Join(t.TempDir(), "x")
	ended := test.Started(func() error { _, err := c.Do(test.Context(t), deed{Do: "until cancelled", Path: path}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	test.Check(t, c.core.tasks.Purge(t.Context())) // as the client does, and nobody is told
	test.Eventually(t, "its ctx ends", func() bool { return exists(path + ".end") })
	test.Is(t, <-ended, ErrLost) // and no Do waits for what is gone
}

func TestDeadlineTravels(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	serving(t, url, nil, nil)
	c := clientOf(t, url, nil)
	r, err := c.Do(context.Background(), deed{Do: "deadline"})
	test.Check(t, err)
	test.Equal(t, r.N, -1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	r, err = c.Do(ctx, deed{Do: "deadline"})
	test.Check(t, err)
	if r.N < 3500 || r.N > 3600 {
		t.Errorf("%d s are left of an hour", r.N)
	}
}

// Of two versions of a task each gets its own worker, and what nobody understands gets ErrNoWorker.
func TestVersions(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	pids := map[string]int{}
	for _, version := range []string{"old", "new"} {
		c := clientOf(t, url, &Options{Version: version, NoWorker: 200 * time.Millisecond})
		_, err := c.Do(ctx, deed{})
		test.Is(t, err, ErrNoWorker)
		empty(t, c)
		o := &Options{Version: version}
		serving(t, url, o, &pool.Options{Max: 1})
		r, err := clientOf(t, url, o).Do(ctx, deed{})
		test.Check(t, err)
		pids[version] = r.PID
	}
	for range 10 {
		r, err := clientOf(t, url, &Options{Version: "old"}).Do(ctx, deed{})
		test.Check(t, err)
		test.Equal(t, r.PID, pids["old"])
	}
	if pids["old"] == pids["new"] {
		t.Error("one worker ran both versions")
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	_, stop := serving(t, url, nil, &pool.Options{Max: 1})
	c := clientOf(t, url, nil)
	path := filepath.Join(t.TempDir(), "x")
	var ended []<-chan error
	ended = append(ended, test.Started(func() error { _, err := c.Do(test.Context(t), deed{Do: "until told", Path: path}); return err }))
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	stopped := test.Started(stop)
	ended = append(ended, test.Started(func() error { _, err := c.Do(test.Context(t), deed{}); return err }))
	stored(t, c, 2)
	remove(t, path)
	test.Check(t, <-ended[0])
	test.Check(t, <-stopped)
	stored(t, c, 1)
	serving(t, url, nil, nil)
	test.Check(t, <-ended[1])
	empty(t, c)
}

func TestClosedClient(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	c, err := NewClient(connect(t, url), obey, nil)
	test.Check(t, err)
	watcher := clientOf(t, url, nil)
	ended := test.Started(func() error { _, err := c.Do(test.Context(t), deed{}); return err })
	stored(t, watcher, 1)
	test.Check(t, c.Close())
	test.Is(t, <-ended, ErrClosed)
	stored(t, watcher, 0)
	_, err = c.Do(test.Context(t), deed{})
	test.Is(t, err, ErrClosed)
}

func TestClosedConnection(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	nc := connect(t, url)
	p, err := pool.New(obey, nil)
	test.Check(t, err)
	defer p.Close()
	served := test.Started(func() error { return Serve(test.Context(t), nc, p, nil) })
	c, err := NewClient(nc, obey, nil)
	test.Check(t, err)
	_, err = c.Do(test.Context(t), deed{})
	test.Check(t, err)
	path := filepath.Join(t.TempDir(), "x")
	ended := test.Started(func() error { _, err := c.Do(test.Context(t), deed{Do: "until told", Path: path}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	nc.Close()
	for _, e := range []<-chan error{served, ended} {
		if err := <-e; err == nil || !slices.Contains([]string{"nats: connection closed"}, errors.Unwrap(err).Error()) {
			t.Errorf("got %v", err)
		}
	}
}
