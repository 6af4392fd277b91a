package gipcnats

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// A Get whose ctx ends doesn't wait for the deletion of an earlier large value, of which too many wait already for a server that is away.
func TestGetDoesNotWaitForADeletion(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	r := readerOf(t, server.url(), &ChannelOptions[deed]{Ahead: 1})
	test.Check(t, writerOf(t, server.url(), nil).Put(test.Context(t), deed{Data: large(2 << 20)}))
	_, err := r.Get(test.Context(t))
	test.Check(t, err)
	server.stop()
	for range cap(r.drops) + 1 { // one is under way then, and takes answerTime
		r.drops <- "none"
	}
	ctx, cancel := context.WithCancel(test.Context(t))
	got := test.Started(func() error { _, err := r.Get(ctx); return err })
	test.Eventually(t, "Get has acknowledged", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.held) == 0
	})
	began := time.Now()
	cancel()
	test.Is(t, <-got, context.Canceled)
	if took := time.Since(began); took > answerTime/2 {
		t.Errorf("it took %v", took)
	}
	server.start()
}

// only returns what describes the one large value that there is.
func only(t testing.TB, b *broker) *jetstream.ObjectInfo {
	t.Helper()
	store, err := b.objects(t.Context())
	test.Check(t, err)
	all, err := store.List(t.Context())
	test.Check(t, err)
	test.Equal(t, len(all), 1)
	return all[0]
}

// spoil replaces the bytes of a large value by so many chunks of others.
func spoil(t testing.TB, b *broker, info *jetstream.ObjectInfo, chunks uint32) {
	t.Helper()
	ctx := test.Context(t)
	s, err := b.js.Stream(ctx, "OBJ_"+b.values())
	test.Check(t, err)
	test.Check(t, s.Purge(ctx, jetstream.WithPurgeSubject(b.chunks(info.NUID))))
	for range chunks {
		_, err = b.js.Publish(ctx, b.chunks(info.NUID), make([]byte, info.Size/uint64(info.Chunks)))
		test.Check(t, err)
	}
}

// A message whose value could not be fetched was not received, whatever the reason: it is delivered again.
func TestValueThatCantBeFetched(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	test.Check(t, writerOf(t, url, nil).Put(ctx, deed{N: 7, Data: large(2 << 20)}))
	r := readerOf(t, url, nil)
	b := r.channel.broker
	info := only(t, b)
	whole, err := b.getValue(ctx, info.Name)
	test.Check(t, err)
	spoil(t, b, info, info.Chunks)
	for range 2 {
		_, err = r.Get(ctx)
		test.Is(t, err, jetstream.ErrDigestMismatch)
	}
	test.Check(t, b.putValue(ctx, r.channel.streamName(), info.Name, whole))
	v, err := r.Get(ctx)
	test.Check(t, err)
	test.Equal(t, v.N, 7)
}

// A message whose value is spoilt for good, or half deleted, doesn't come for ever, and leaves nothing.
func TestSpoiltMessage(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	for name, c := range map[string]struct {
		chunks uint32
		err    error
		times  int
	}{"other bytes": {5, jetstream.ErrDigestMismatch, maxCorrupt}, "half deleted": {2, errNoValue, 1}} {
		t.Run(name, func(t *testing.T) {
			url := startServer(t).url()
			w := writerOf(t, url, nil)
			test.Check(t, w.Put(ctx, deed{N: 6, Data: large(2 << 20)}))
			r := readerOf(t, url, nil)
			info := only(t, r.channel.broker)
			test.Equal(t, info.Chunks, 5)
			spoil(t, r.channel.broker, info, c.chunks)
			for range c.times {
				_, err := r.Get(ctx)
				test.Is(t, err, c.err)
			}
			test.Check(t, w.Put(ctx, deed{N: 7}))
			test.Check(t, w.Close(ctx))
			v, err := r.Get(ctx)
			test.Check(t, err)
			test.Equal(t, v.N, 7)
			_, err = r.Get(ctx)
			test.Equal(t, err, io.EOF)
			test.Eventually(t, "nothing is left in the object store", func() bool { return objects(t, r.channel.broker) == 0 })
		})
	}
}

// A task whose argument is spoilt, or half deleted, is not started, and its Do gets why.
func TestSpoiltArgument(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	for name, c := range map[string]struct {
		chunks uint32
		is     func(error) bool
	}{
		"other bytes":  {5, func(err error) bool { return strings.Contains(err.Error(), jetstream.ErrDigestMismatch.Error()) }},
		"half deleted": {2, func(err error) bool { return errors.Is(err, ErrLost) }},
	} {
		t.Run(name, func(t *testing.T) {
			url := startServer(t).url()
			k := clientOf(t, url, nil)
			path := filepath.Join(t.TempDir(), "starts")
			ended := test.Started(func() error { _, err := k.Do(ctx, deed{Do: "note", Path: path, Data: large(2 << 20)}); return err })
			stored(t, k, 1)
			spoil(t, k.core.broker, only(t, k.core.broker), c.chunks)
			serving(t, url, nil, nil)
			if err := <-ended; err == nil || !c.is(err) {
				t.Errorf("got %v", err)
			}
			test.Equal(t, exists(path), false)
			empty(t, k)
		})
	}
}
