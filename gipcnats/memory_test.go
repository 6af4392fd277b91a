package gipcnats

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// A lone server that starts again has no streams of memory any more. What was in them is lost, and says so; what comes later
// finds new streams.
func TestMemoryBehindARestart(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	server := startServer(t)
	o := quick()
	o.Memory = true
	serving(t, server.url(), o, nil)
	c := clientOf(t, server.url(), o)
	path := filepath.Join(t.TempDir(), "x")
	lost := test.Started(func() error { _, err := c.Do(ctx, deed{Do: "until cancelled", Path: path}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	server.stop()
	server.start()
	for i := range 3 {
		r, err := c.Do(ctx, deed{N: i})
		test.Check(t, err)
		test.Equal(t, r.N, i)
	}
	test.Is(t, <-lost, ErrLost)
	test.Eventually(t, "the ctx of the lost one ends", func() bool { return exists(path + ".end") })
	empty(t, c)
}

// Streams that an administrator deletes are made again, by client and Serve alike.
func TestDeletedStreams(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := quick()
	serving(t, url, o, nil)
	c := clientOf(t, url, o)
	k := c.core
	for _, stream := range []string{k.taskStream(k.kind), k.resultStream(), k.stateStream()} {
		test.Check(t, k.js.DeleteStream(ctx, stream))
		r, err := c.Do(ctx, deed{N: 7})
		test.Check(t, err)
		test.Equal(t, r.N, 7)
	}
	test.Eventually(t, "all streams are there", func() bool {
		for _, stream := range []string{k.taskStream(k.kind), k.resultStream(), k.stateStream()} {
			if _, err := k.js.Stream(ctx, stream); err != nil {
				return false
			}
		}
		return true
	})
}

// The ends of a channel whose stream is gone say so, whatever they are doing. Who opens it again makes it again, and its old ends stay
// away from the new one's messages.
func TestChannelThatIsGone(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*broken, *Reader[deed]){
		"deleted":         func(_ *broken, r *Reader[deed]) { test.Check(t, r.Remove(test.Context(t))) },
		"ended in memory": func(server *broken, _ *Reader[deed]) { server.stop(); server.start() },
		"made again behind a restart": func(server *broken, _ *Reader[deed]) {
			server.stop()
			server.start()
			writerOf(t, server.url(), &ChannelOptions[deed]{Memory: true})
		},
		"made again since": func(server *broken, r *Reader[deed]) {
			test.Check(t, r.Remove(test.Context(t)))
			writerOf(t, server.url(), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := test.Context(t)
			server := startServer(t)
			o := &ChannelOptions[deed]{Memory: true}
			w, r := writerOf(t, server.url(), o), readerOf(t, server.url(), o)
			test.Check(t, w.Put(ctx, deed{N: 1}))
			_, err := r.Get(ctx)
			test.Check(t, err)
			waiting := test.Started(func() error { _, err := r.Get(ctx); return err })
			lose(server, r)
			test.Is(t, <-waiting, ErrNoChannel)
			if name != "made again since" {
				test.Is(t, w.Put(ctx, deed{N: 2}), ErrNoChannel)
				test.Is(t, w.Put(ctx, deed{Data: large(2 << 20)}), ErrNoChannel)
				test.Is(t, w.Close(ctx), ErrNoChannel)
			}
			w, again := writerOf(t, server.url(), o), readerOf(t, server.url(), o)
			test.Check(t, w.Put(ctx, deed{N: 3}))
			test.Check(t, w.Close(ctx))
			_, err = r.Get(ctx)
			test.Is(t, err, ErrNoChannel)
			v, err := again.Get(ctx)
			test.Check(t, err)
			test.Equal(t, v.N, 3)
			_, err = again.Get(ctx)
			test.Equal(t, err, io.EOF)
		})
	}
}

// What a Reader of a stream that is gone still holds is no message of the new stream.
func TestAckBehindAChannelThatIsGone(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	test.Check(t, writerOf(t, url, nil).Put(ctx, deed{N: 1}))
	r := readerOf(t, url, nil)
	_, err := r.Get(ctx)
	test.Check(t, err)
	test.Check(t, r.Remove(ctx))
	w, again := writerOf(t, url, nil), readerOf(t, url, nil)
	test.Check(t, w.Put(ctx, deed{N: 2}))
	v, err := again.Get(ctx)
	test.Check(t, err)
	test.Equal(t, v.N, 2)
	<-r.ctx.Done()
	test.Is(t, r.Ack(), ErrNoChannel)
	_, err = r.Get(ctx)
	test.Is(t, err, ErrNoChannel)
	test.Is(t, r.Close(), ErrNoChannel)
	test.Is(t, r.Close(), gipc.ErrClosed)
	test.Check(t, r.channel.nc.Flush()) // the server has heard what it had to say
	info, err := again.consumer.Info(ctx)
	test.Check(t, err)
	test.Equal(t, info.NumAckPending, 1)
	test.Equal(t, info.NumPending, 0)
}

// A client whose streams are gone can be closed.
func TestCloseBehindDeletedStreams(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	c, err := NewClient(connect(t, url), obey, nil)
	test.Check(t, err)
	test.Check(t, c.core.js.DeleteStream(t.Context(), c.core.resultStream()))
	test.Check(t, c.Close())
}
