package gipcnats

import (
	"context"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

// objects returns how many messages of any kind there are in the object store's stream.
func objects(t testing.TB, b *broker) int {
	t.Helper()
	s, err := b.js.Stream(t.Context(), "OBJ_"+b.values())
	test.Check(t, err)
	return int(s.CachedInfo().State.Msgs)
}

// Arguments of 100 MiB, and large results, go through the object store, and nothing of them stays.
func TestLargeTasks(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	serving(t, url, nil, &pool.Options{Max: 1, MaxResult: 1 << 30})
	c := clientOf(t, url, nil)
	size := 100 << 20
	if testing.Short() || test.RaceEnabled() {
		size = 10 << 20
	}
	data := large(size)
	r, err := c.Do(ctx, deed{Do: "sum", Data: data})
	test.Check(t, err)
	sum := sha256.Sum256(data)
	test.Bytes(t, r.Data, sum[:])
	data = data[:5<<20]
	r, err = c.Do(ctx, deed{Do: "echo", Data: data})
	test.Check(t, err)
	test.Bytes(t, r.Data, data)
	empty(t, c)
	test.Eventually(t, "nothing is left in the object store", func() bool { return objects(t, c.core.broker) == 0 })
}

func TestLargeTaskIsCancelled(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	c := clientOf(t, url, nil)
	ctx, cancel := context.WithCancel(test.Context(t))
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{Data: large(3 << 20)}); return err })
	stored(t, c, 1)
	cancel()
	test.Is(t, <-ended, context.Canceled)
	empty(t, c)
	test.Eventually(t, "nothing is left in the object store", func() bool { return objects(t, c.core.broker) == 0 })
}

// The argument of a dead letter stays, under the letter's name.
func TestLargePoison(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := &Options{MaxStarts: 1}
	serving(t, url, o, &pool.Options{Max: 1})
	c := clientOf(t, url, o)
	_, err := c.Do(ctx, deed{Do: "panic", Path: filepath.Join(t.TempDir(), "x"), Data: large(3 << 20)})
	if err == nil {
		t.Fatal("no error")
	}
	letter := c.core.dead(c.core.kind, id{c.core.id, "1"})
	test.Check(t, c.core.sweep(ctx, 0))
	value, err := c.core.getValue(ctx, letter)
	test.Check(t, err)
	if len(value) < 3<<20 {
		t.Errorf("%d bytes", len(value))
	}
	dead, err := c.core.openDead(ctx)
	test.Check(t, err)
	test.Check(t, dead.Purge(ctx))
	test.Check(t, c.core.sweep(ctx, 0))
	test.Equal(t, objects(t, c.core.broker), 0)
}

// What crashes leave behind is swept: objects whose message is gone, and parts of objects.
func TestSweep(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	c := clientOf(t, url, nil)
	b := c.core.broker
	waits := test.Started(func() error { _, err := c.Do(ctx, deed{Do: "echo", Data: large(3 << 20)}); return err })
	stored(t, c, 1)
	test.Check(t, b.putValue(ctx, b.resultStream(), b.result(id{"gone", "1"}), large(2<<20)))
	_, err := b.js.Publish(ctx, b.chunks("UNFINISHED"), large(100))
	test.Check(t, err)
	before := objects(t, b)
	test.Check(t, b.sweep(ctx, sweepAge)) // all of them are too young
	test.Equal(t, objects(t, b), before)
	test.Check(t, b.sweep(ctx, 0))
	store, err := b.objects(ctx)
	test.Check(t, err)
	left, err := store.List(ctx)
	test.Check(t, err)
	test.Equal(t, len(left), 1)
	s, err := b.js.Stream(ctx, "OBJ_"+b.values())
	test.Check(t, err)
	_, err = s.GetLastMsgForSubject(ctx, b.chunks("UNFINISHED"))
	test.Is(t, err, jetstream.ErrMsgNotFound)
	serving(t, url, nil, nil)
	test.Check(t, <-waits) // the one that stays is whole
}

func TestLimitOfValues(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	serving(t, url, &Options{MaxValue: 1 << 20}, nil)
	for _, limit := range []int{1 << 20, 4 << 20} { // of the client; then the server's counts
		_, err := clientOf(t, url, &Options{MaxValue: limit}).Do(ctx, deed{Do: "echo", Data: large(2 << 20)})
		size := asTooLarge(err)
		if size == nil || size.Limit != 1<<20 {
			t.Errorf("got %v", err)
		}
	}
}

// MaxValue is also the limit of what others put into messages.
func TestLimitOfWhatComesInMessages(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	serving(t, url, &Options{MaxValue: 1000, Version: "strict"}, nil)
	serving(t, url, nil, nil)
	small, strict := &ChannelOptions[deed]{MaxValue: 1000}, &Options{MaxValue: 1000}
	w, r := writerOf(t, url, nil), readerOf(t, url, small)
	test.Check(t, w.Put(ctx, deed{Data: large(2000)}))
	test.Check(t, w.Put(ctx, deed{N: 7}))
	_, ofServe := clientOf(t, url, &Options{Version: "strict"}).Do(ctx, deed{Do: "sum", Data: large(2000)})
	_, ofClient := clientOf(t, url, strict).Do(ctx, deed{Do: "large", N: 2000})
	_, ofReader := r.Get(ctx)
	for _, err := range []error{ofServe, ofClient, ofReader} {
		if size := asTooLarge(err); size == nil || size.Limit != 1000 {
			t.Errorf("got %v", err)
		}
	}
	v, err := r.Get(ctx) // goes on behind it
	test.Check(t, err)
	test.Equal(t, v.N, 7)
}

func asTooLarge(err error) *gipc.TooLargeError {
	var size *gipc.TooLargeError
	if !errors.As(err, &size) {
		return nil
	}
	return size
}

// halfMoved has a large value that a crash has left with two names: the task's and its dead letter's.
func halfMoved(t testing.TB, b *broker) (task, letter string) {
	t.Helper()
	ctx := test.Context(t)
	task, letter = b.subject("task", "a", "b", "c", "1"), b.subject("dead", "a", "b", "c", "1")
	test.Check(t, b.putValue(ctx, "none", task, large(2<<20)))
	s, err := b.js.Stream(ctx, "OBJ_"+b.values())
	test.Check(t, err)
	meta, err := latest(ctx, s, b.meta(task))
	test.Check(t, err)
	test.Check(t, b.moveValue(ctx, task, "letters", letter))
	_, err = b.js.Publish(ctx, meta.Subject, meta.Data)
	test.Check(t, err)
	return task, letter
}

// A crash in the middle of moving a task's large value to its dead letter costs neither the letter nor the next try.
func TestHalfMovedValue(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(b *broker, task, letter string) error{
		"moved again": func(b *broker, task, letter string) error { return b.moveValue(t.Context(), task, "letters", letter) },
		"dropped":     func(b *broker, task, _ string) error { return b.dropValue(t.Context(), task) },
		"swept":       func(b *broker, task, _ string) error { return b.sweepObject(t.Context(), info(t, b, task)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := clientOf(t, startServer(t).url(), calm()).core.broker
			task, letter := halfMoved(t, b)
			test.Check(t, again(b, task, letter))
			_, err := b.getValue(t.Context(), task)
			test.Is(t, err, errNoValue)
			value, err := b.getValue(t.Context(), letter)
			test.Check(t, err)
			test.Bytes(t, value, large(2<<20))
			test.Check(t, b.moveValue(t.Context(), task, "letters", letter)) // and once more, behind all of it
		})
	}
}

func info(t testing.TB, b *broker, name string) *jetstream.ObjectInfo {
	t.Helper()
	store, err := b.objects(t.Context())
	test.Check(t, err)
	info, err := store.GetInfo(t.Context(), name)
	test.Check(t, err)
	return info
}

// A task is condemned again if its Serve died before it had told the server.
func TestLargeTaskIsCondemnedAgain(t *testing.T) {
	t.Parallel()
	s, deliver := alone(t, &Options{})
	m := deliver(1)
	m.data[1] = flagLarge
	test.Check(t, s.putValue(t.Context(), s.taskStream(s.kind), m.subject, large(2<<20)))
	for range 2 {
		j := s.admit(m)
		if o := s.condemn(j, 5); o.result == nil {
			t.Errorf("the outcome is %+v", o)
		}
		s.leave(j)
	}
}
