package gipcnats

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// ended is a ctx that has.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A Close that waits for room keeps no Put and no other Close waiting whose ctx has ended.
func TestCloseThatWaitsForRoom(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	w := writerOf(t, url, &ChannelOptions[deed]{MaxMessages: 1})
	c := w.channel
	test.Check(t, w.Put(test.Context(t), deed{}))
	tries, request := make(chan struct{}, 1), c.request
	c.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
		if m.Subject == c.end() {
			select {
			case tries <- struct{}{}:
			default:
			}
		}
		return request(ctx, m)
	}
	closed := test.Started(func() error { return w.Close(test.Context(t)) })
	<-tries
	test.Is(t, w.Put(ended(), deed{}), context.Canceled)
	test.Is(t, w.Close(ended()), context.Canceled)
	test.Check(t, c.stream.Purge(t.Context()))
	test.Check(t, <-closed)
	test.Is(t, w.Close(test.Context(t)), gipc.ErrClosed)
}

// A Put whose ctx has ended asks nobody, so that its message is certainly not stored.
func TestPutWhoseCtxHasEnded(t *testing.T) {
	t.Parallel()
	w := writerOf(t, startServer(t).url(), nil)
	w.channel.request = func(context.Context, *nats.Msg) (*nats.Msg, error) {
		t.Error("the server is asked")
		return nil, nats.ErrTimeout
	}
	err := w.Put(ended(), deed{})
	test.Is(t, err, context.Canceled)
	test.IsNot(t, err, ErrUncertain)
}

// interrupted has something happen instead of the answer to the first message.
func interrupted(b *broker, happen func(stored func())) {
	first, request := true, b.request
	b.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
		if !first {
			return request(ctx, m)
		}
		first = false
		happen(func() { _, _ = request(ctx, m) })
		return nil, nats.ErrTimeout
	}
}

// A Put that may have stored its message before another Writer stored the end says so.
func TestPutThatMayHaveComeBeforeTheEnd(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	w, other := writerOf(t, url, nil), writerOf(t, url, nil)
	interrupted(w.channel.broker, func(store func()) { store(); test.Check(t, other.Close(ctx)) })
	test.Is(t, w.Put(ctx, deed{N: 5}), gipc.ErrClosed, ErrUncertain)
	v, err := readerOf(t, url, nil).Get(ctx)
	test.Check(t, err)
	test.Equal(t, v.N, 5)
}

// A Put or Close that tries again leaves a stream alone that was made since it began.
func TestRetryBehindANewStream(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(context.Context, *Writer[deed]) error{
		"put":   func(ctx context.Context, w *Writer[deed]) error { return w.Put(ctx, deed{}) },
		"close": func(ctx context.Context, w *Writer[deed]) error { return w.Close(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := test.Context(t)
			server := startServer(t)
			o := &ChannelOptions[deed]{Memory: true}
			w := writerOf(t, server.url(), o)
			nc := w.channel.nc
			var made *Writer[deed]
			interrupted(w.channel.broker, func(func()) {
				server.stop()
				server.start()
				test.Eventually(t, "it is connected again", func() bool { return nc.IsConnected() && nc.Stats().Reconnects > 0 })
				made = writerOf(t, server.url(), o)
			})
			test.Is(t, do(ctx, w), ErrNoChannel)
			info, err := made.channel.stream.Info(ctx)
			test.Check(t, err)
			test.Equal(t, info.State.Msgs, 0)
		})
	}
}

// A channel that was purged, its end too, goes on, and can be closed again at once.
func TestCloseBehindAPurge(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	w := writerOf(t, url, nil)
	test.Check(t, w.Close(ctx))
	test.Check(t, w.channel.stream.Purge(ctx))
	test.Check(t, writerOf(t, url, nil).Close(ctx))
	end, err := latest(ctx, w.channel.stream, w.channel.end())
	test.Check(t, err)
	test.Equal(t, end != nil, true)
}
