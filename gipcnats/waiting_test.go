package gipcnats

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc/internal/test"
)

// theObject waits until the object store has one object that fits, and returns it.
func theObject(t testing.TB, b *broker, what string, fits func(*jetstream.ObjectInfo) bool) (found *jetstream.ObjectInfo) {
	t.Helper()
	test.Eventually(t, what, func() bool {
		store, err := b.objects(t.Context())
		test.Check(t, err)
		all, err := store.List(t.Context())
		if err != nil || len(all) != 1 || !fits(all[0]) {
			return false
		}
		found = all[0]
		return true
	})
	return found
}

// swept deletes the one large value, as a sweep does that finds it old, and waits until its sender has stored it again.
func swept(t testing.TB, b *broker) {
	t.Helper()
	first := theObject(t, b, "the value is stored", func(*jetstream.ObjectInfo) bool { return true })
	test.Check(t, b.dropValue(t.Context(), first.Name))
	theObject(t, b, "the value is stored again", func(info *jetstream.ObjectInfo) bool { return info.NUID != first.NUID })
}

// A large value whose message waits for room for longer than values without a message are kept is there when it is stored.
func TestLargePutWaitsForRoom(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := &ChannelOptions[deed]{MaxMessages: 1}
	w := writerOf(t, url, o)
	w.channel.sweepAge = 1 // it is old at once
	test.Check(t, w.Put(ctx, deed{N: 1}))
	put := test.Started(func() error { return w.Put(ctx, deed{N: 2, Data: large(2 << 20)}) })
	swept(t, w.channel.broker)
	r := readerOf(t, url, o)
	for i := range 2 {
		v, err := r.Get(ctx)
		test.Check(t, err)
		test.Equal(t, v.N, i+1)
		test.Check(t, r.Ack())
	}
	test.Check(t, <-put)
}

func TestLargeTaskWaitsForRoom(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := &Options{MaxTasks: 1}
	c := clientOf(t, url, o)
	c.core.sweepAge = 1
	first := test.Started(func() error { _, err := c.Do(ctx, deed{}); return err })
	stored(t, c, 1)
	data := large(2 << 20)
	all := test.Started(func() error {
		for r, err := range c.All(ctx, func(yield func(deed) bool) { yield(deed{Do: "echo", Data: data}) }) {
			if err != nil {
				return err
			}
			test.Bytes(t, r.Data, data)
		}
		return nil
	})
	swept(t, c.core.broker)
	serving(t, url, o, nil)
	test.Check(t, <-first)
	test.Check(t, <-all)
}

// A value that waits is renewed, not stored again, and a sweep that has seen it old leaves it.
func TestRenewedValue(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	w := writerOf(t, startServer(t).url(), nil)
	b := w.channel.broker
	v := &largeValue{stream: w.channel.streamName(), subject: w.channel.subjectOf("msg", "7"), data: large(2 << 20)}
	test.Check(t, b.keep(ctx, v))
	old := theObject(t, b, "it is stored", func(*jetstream.ObjectInfo) bool { return true })
	b.sweepAge = 1
	test.Check(t, b.keep(ctx, v))
	renewed := theObject(t, b, "it is younger", func(info *jetstream.ObjectInfo) bool { return info.ModTime.After(old.ModTime) })
	test.Equal(t, renewed.NUID, old.NUID)
	test.Check(t, b.sweepObject(ctx, old))
	value, err := b.getValue(ctx, v.subject)
	test.Check(t, err)
	test.Bytes(t, value, v.data)
	test.Check(t, b.sweepObject(ctx, renewed))
	_, err = b.getValue(ctx, v.subject)
	test.Is(t, err, errNoValue)
	test.Equal(t, objects(t, b), 0)
}

// Without a connection the server is not asked, so that nothing is sent behind the end of a Put.
func TestPutWithoutAConnection(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	server := startServer(t)
	w := writerOf(t, server.url(), nil)
	server.stop()
	test.Eventually(t, "the connection is gone", func() bool { return !w.channel.nc.IsConnected() })
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	err := w.Put(short, deed{N: 1})
	test.Is(t, err, short.Err())
	test.IsNot(t, err, ErrUncertain)
	server.start()
	test.Check(t, w.Put(ctx, deed{N: 2}))
	v, err := readerOf(t, server.url(), nil).Get(ctx)
	test.Check(t, err)
	test.Equal(t, v.N, 2)
}

// The end of its ctx ends a Put at once, with the cause, also if the server is away and the large value can't be deleted now.
func TestCancelledLargePut(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	w := writerOf(t, server.url(), &ChannelOptions[deed]{MaxMessages: 1})
	test.Check(t, w.Put(test.Context(t), deed{N: 1}))
	ctx, cancel := context.WithCancelCause(test.Context(t))
	put := test.Started(func() error { return w.Put(ctx, deed{N: 2, Data: large(2 << 20)}) })
	theObject(t, w.channel.broker, "the value is stored", func(*jetstream.ObjectInfo) bool { return true })
	server.stop()
	test.Eventually(t, "the connection is gone", func() bool { return !w.channel.nc.IsConnected() })
	cause := errors.New("a cause")
	cancelled := time.Now()
	cancel(cause)
	test.Is(t, <-put, context.Canceled, cause)
	if took := time.Since(cancelled); took >= answerTime {
		t.Errorf("it took %v", took)
	}
}

// Put asks again only as long as the server knows the message's id: behind that it would be stored twice.
func TestPutThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := writerOf(t, startServer(t).url(), nil)
	if k := w.channel.knownFor; k < time.Minute || k >= w.channel.stream.CachedInfo().Config.Duplicates {
		t.Errorf("asks again for %v", k)
	}
	w.channel.knownFor = 300 * time.Millisecond
	mute(t, w)
	ctx, cancel := context.WithCancel(test.Context(t))
	defer cancel()
	test.Is(t, w.Put(ctx, deed{}), ErrUncertain)
	test.Check(t, ctx.Err())
}

// Where nobody was asked Put goes on for as long as it takes.
func TestPutThatNobodyGot(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	w := writerOf(t, startServer(t).url(), nil)
	c := w.channel
	c.knownFor = time.Millisecond
	tries, request := 0, c.request
	c.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
		if tries++; tries < 5 {
			return nil, nats.ErrNoResponders // as while a cluster has no leader
		}
		return request(ctx, m)
	}
	test.Check(t, w.Put(ctx, deed{}))
	test.Equal(t, tries, 5)
}
