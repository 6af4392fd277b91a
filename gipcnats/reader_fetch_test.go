package gipcnats

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// fetchingGet returns a Reader whose Get has a large value's message and can't fetch the value: the server is stopped.
func fetchingGet(t *testing.T) (server *broken, r *Reader[deed], cancel func(), got <-chan error) {
	t.Helper()
	server = startServer(t)
	test.Check(t, writerOf(t, server.url(), nil).Put(test.Context(t), deed{N: 7, Data: large(2 << 20)}))
	r = readerOf(t, server.url(), nil)
	test.Eventually(t, "the message is here", func() bool { return len(r.queue) == 1 })
	server.stop()
	t.Cleanup(func() {
		if !server.server.Running() {
			server.start()
		}
	})
	ctx, cancel := context.WithCancel(test.Context(t))
	got = test.Started(func() error { _, err := r.Get(ctx); return err })
	test.Eventually(t, "Get has it", func() bool { return len(r.queue) == 0 })
	return server, r, cancel, got
}

func TestCloseEndsAGetThatFetches(t *testing.T) {
	t.Parallel()
	_, r, cancel, got := fetchingGet(t)
	defer cancel()
	test.Check(t, r.Close())
	test.Is(t, <-got, gipc.ErrClosed)
}

// Ack acknowledges nothing that a Get still fetches: the next Get has it.
func TestAckWhileAGetFetches(t *testing.T) {
	t.Parallel()
	server, r, cancel, got := fetchingGet(t)
	test.Check(t, r.Ack())
	cancel()
	test.Is(t, <-got, context.Canceled)
	server.start()
	v, err := r.Get(test.Context(t))
	test.Check(t, err)
	test.Equal(t, v.N, 7)
}

// A message whose value could not be fetched was not received, whatever the reason: it is delivered again.
func TestValueThatCantBeFetched(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	test.Check(t, writerOf(t, url, nil).Put(ctx, deed{N: 7, Data: large(2 << 20)}))
	r := readerOf(t, url, nil)
	b := r.channel.broker
	store, err := b.objects(ctx)
	test.Check(t, err)
	all, err := store.List(ctx)
	test.Check(t, err)
	whole, err := b.getValue(ctx, all[0].Name)
	test.Check(t, err)
	s, err := b.js.Stream(ctx, "OBJ_"+b.values())
	test.Check(t, err)
	chunks := b.chunks(all[0].NUID)
	test.Check(t, s.Purge(ctx, jetstream.WithPurgeSubject(chunks)))
	for range all[0].Chunks {
		_, err = b.js.Publish(ctx, chunks, make([]byte, len(whole)/int(all[0].Chunks)))
		test.Check(t, err)
	}
	for range 2 {
		_, err = r.Get(ctx)
		test.Is(t, err, jetstream.ErrDigestMismatch)
	}
	test.Check(t, b.putValue(ctx, r.channel.streamName(), all[0].Name, whole))
	v, err := r.Get(ctx)
	test.Check(t, err)
	test.Equal(t, v.N, 7)
}
