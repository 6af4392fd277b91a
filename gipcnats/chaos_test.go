package gipcnats

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

// Machines are killed, one a second, and the server is started again from its store, twice. Each Do returns once, with its own
// result.
func TestChaos(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 3*test.Patience) // half a minute on two cores that others use, too
	defer cancel()
	server := startServer(t)
	args := serveArgs{URL: server.url(), Workers: 2, MaxStarts: 20}
	o := quick()
	o.MaxStarts, o.Window = args.MaxStarts, 4096 // a task on a killed machine holds up those behind it
	c := clientOf(t, args.URL, o)
	machines := make([]*gipc.Process, 3)
	for i := range machines {
		machines[i] = machine(t, args)
	}
	stop, killed := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { killed <- n }()
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			i := rand.IntN(len(machines))
			test.Check(t, machines[i].Kill())
			<-machines[i].Done()
			machines[i] = machine(t, args)
			n++
		}
	}()
	total := test.Scaled(20_000)
	n, restarts := 0, 0
	for r, err := range c.All(ctx, numbers(total)) {
		if err != nil {
			t.Fatalf("after %d of %d: %v", n, total, err)
		}
		test.Equal(t, r.N, n)
		n++
		if n == total/3 || n == 2*total/3 {
			server.stop()
			server.start()
			restarts++
		}
	}
	close(stop)
	t.Logf("%d tasks, %d machines killed, %d restarts of the server", n, <-killed, restarts)
	test.Equal(t, n, total)
	gone(t, c, "task.>", "result.>") // a machine that is killed behind an ack leaves a count of starts, which ends by its age
}

// A task whose machine is killed runs again on another one.
func TestKilledMachine(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	c := clientOf(t, url, quick())
	first := machine(t, serveArgs{URL: url, Workers: 1})
	path := filepath.Join(t.TempDir(), "x")
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{Do: "until told", Path: path}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	machine(t, serveArgs{URL: url, Workers: 1})
	test.Check(t, first.Kill())
	test.Eventually(t, "it runs again", func() bool { return len(lines(t, path)) == 2 })
	remove(t, path)
	test.Check(t, <-ended)
	empty(t, c)
}

// A task that each machine dies under ends, and its Do learns why.
func TestMachinesThatAreLost(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := quick()
	o.MaxStarts = 2
	c := clientOf(t, url, o)
	path := filepath.Join(t.TempDir(), "x")
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{Do: "until told", Path: path}); return err })
	for i := range 3 {
		m := machine(t, serveArgs{URL: url, Workers: 1, MaxStarts: 2})
		if i == 2 {
			break
		}
		test.Eventually(t, "it runs", func() bool { return exists(path) && len(lines(t, path)) == i+1 })
		test.Check(t, m.Kill())
		<-m.Done()
	}
	err := <-ended
	var worker *pool.WorkerError
	if !errors.As(err, &worker) || worker.Starts != 2 || worker.Exit.Err.Error() != errMachine.Error() {
		t.Fatalf("got %v", err)
	}
	test.Equal(t, len(lines(t, path)), 2)
}

// A deploy that stops each machine in turn, over and over, condemns no task.
func TestDeploysCountAsNoStarts(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := quick()
	o.MaxStarts = 1
	c := clientOf(t, url, o)
	js, err := jetstream.New(c.core.nc)
	test.Check(t, err)
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{}); return err })
	stored(t, c, 1)
	s, err := newServer(ctx, c.core.nc, c.core.kind, "obey me", c.core.opts)
	test.Check(t, err)
	consumer, err := js.Consumer(ctx, c.core.taskStream(c.core.kind), c.core.kind.print)
	test.Check(t, err)
	for i := range 5 {
		m, err := consumer.Next()
		test.Check(t, err)
		d := pulled{c.core.nc, &nats.Msg{Subject: m.Subject(), Reply: m.Reply(), Data: m.Data()}}
		test.Equal(t, d.Number(), uint64(i+1))
		s.handBack(d)
	}
	serving(t, url, o, nil)
	test.Check(t, <-ended)
	empty(t, c)
}

// clientThere is a program that waits for tasks. It is killed.
var clientThere = gipc.Register("gipcnats test client", func(ctx context.Context, a [2]string) error {
	nc, err := dial(a[0])
	if err != nil {
		return err
	}
	c, err := NewClient(nc, obey, quick())
	if err != nil {
		return err
	}
	for range c.All(ctx, func(yield func(deed) bool) {
		for i := 0; yield(deed{Do: "until cancelled", Path: a[1] + strconv.Itoa(i)}); i++ {
		}
	}) {
	}
	return errors.New("the loop has ended")
})

// What a killed client wanted ends with its lease, and nothing of it stays.
func TestKilledClient(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	o := quick()
	serving(t, url, o, nil)
	c := clientOf(t, url, o)
	path := filepath.Join(t.TempDir(), "x")
	p, err := gipc.Spawn(context.Background(), clientThere, [2]string{url, path}, nil)
	test.Check(t, err)
	test.Eventually(t, "its tasks run and wait", func() bool {
		info, err := c.core.tasks.Info(t.Context())
		return err == nil && info.State.Msgs > 50 && len(matches(t, path+"*")) > 0
	})
	test.Check(t, p.Kill())
	<-p.Done()
	test.Eventually(t, "the ctx of each task that ran ends", func() bool {
		ends := len(matches(t, path+"*.end"))
		return ends > 0 && 2*ends == len(matches(t, path+"*"))
	})
	empty(t, c)
	_, err = c.Do(test.Context(t), deed{})
	test.Check(t, err)
}

// A client whose server is away for longer than its lease loses nothing.
func TestServerThatIsAwayCostsNoLease(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	server := startServer(t)
	o := quick()
	serving(t, server.url(), o, nil)
	c := clientOf(t, server.url(), o)
	path := filepath.Join(t.TempDir(), "x")
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{Do: "until told", Path: path}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	server.stop()
	<-time.After(o.Lease + time.Second) // this long is what is tested
	server.start()
	_, err := c.Do(ctx, deed{})
	test.Check(t, err)
	remove(t, path)
	test.Check(t, <-ended)
}

// A consumer that somebody deletes is made again.
func TestDeletedConsumer(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	serving(t, url, nil, nil)
	c := clientOf(t, url, nil)
	for range 2 {
		_, err := c.Do(ctx, deed{})
		test.Check(t, err)
		test.Check(t, c.core.tasks.DeleteConsumer(ctx, c.core.kind.print))
	}
	_, err := c.Do(ctx, deed{})
	test.Check(t, err)
}
