package gipcnats

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

// A program that takes its bytes from the server too slowly is cut off by it: that is what NATS calls a slow consumer. What the server
// had sent to it is lost then.

// tap is the way of a connection's bytes from the server. While it is locked none come.
type tap struct {
	sync.RWMutex
	shut atomic.Bool
}

type tapped struct {
	net.Conn
	tap *tap
}

func (c *tapped) Read(b []byte) (int, error) {
	c.tap.RLock()
	defer c.tap.RUnlock()
	return c.Conn.Read(b)
}

func (t *tap) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &tapped{c, t}, c.(*net.TCPConn).SetReadBuffer(16 << 10) // what is on its way is soon too much
}

// close cuts off the bytes of nc behind those of a Read under way: its answer to a ping ends that.
func (t *tap) close(nc *nats.Conn) {
	closed := test.Started(func() bool { t.Lock(); t.shut.Store(true); return true })
	for {
		select {
		case <-closed:
			return
		case <-time.After(time.Millisecond):
			_ = nc.FlushTimeout(10 * time.Millisecond)
		}
	}
}

// open ends what close began, if it has.
func (t *tap) open() {
	if t.shut.Swap(false) {
		t.Unlock()
	}
}

// impatient is a server that cuts off whoever takes nothing for half a second.
func impatient(t testing.TB) *broken {
	t.Helper()
	return startServerWith(t, func(o *natsserver.Options) { o.WriteDeadline = 500 * time.Millisecond })
}

func slow(t testing.TB, url string) (*nats.Conn, *tap) {
	t.Helper()
	way := &tap{}
	nc, err := nats.Connect(url, nats.SetCustomDialer(way), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	test.Check(t, err)
	t.Cleanup(nc.Close)
	t.Cleanup(way.open) // before
	return nc, way
}

// cutOff waits until the server has lost its patience.
func cutOff(t testing.TB, server *broken) {
	t.Helper()
	test.Eventually(t, "the server has cut off somebody", func() bool { return server.server.NumSlowConsumers() > 0 })
}

const (
	slowItems = 48
	slowSize  = 500 << 10 // all of them are more than sockets hold
)

// A slow Reader gets all messages.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	server := impatient(t)
	w := writerOf(t, server.url(), nil)
	nc, way := slow(t, server.url())
	r, err := NewReader(ctx, nc, "a name", &ChannelOptions[deed]{AckWait: time.Second})
	test.Check(t, err)
	t.Cleanup(func() { _ = r.Close() })
	way.close(nc)
	data := large(slowSize)
	for i := range slowItems {
		test.Check(t, w.Put(ctx, deed{N: i, Data: data}))
	}
	cutOff(t, server)
	way.open()
	test.Check(t, w.Close(ctx))
	seen := map[int]bool{}
	for v, err := range r.All(ctx) {
		test.Check(t, err)
		test.Bytes(t, v.Data, data)
		seen[v.N] = true
	}
	test.Equal(t, len(seen), slowItems)
}

// doAll has a client do a task with large argument and result so many times, and returns when all are done.
func doAll(ctx context.Context, c *Client[deed, done], data []byte) <-chan error {
	return test.Started(func() error {
		n := 0
		for r, err := range c.All(ctx, func(yield func(deed) bool) {
			for i := 0; i < slowItems && yield(deed{Do: "echo", N: i, Data: data}); i++ {
			}
		}) {
			if err != nil || r.N != n || len(r.Data) != len(data) {
				return fmt.Errorf("task %d: got number %d, %d bytes: %w", n, r.N, len(r.Data), err)
			}
			n++
		}
		if n != slowItems {
			return fmt.Errorf("there were %d results", n)
		}
		return nil
	})
}

// A slow client gets all results, each once. The test stores them, as a Serve does: before the client's request for them ends.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	server := impatient(t)
	watcher := clientOf(t, server.url(), nil)
	data := large(slowSize)
	nc, way := slow(t, server.url())
	c, err := NewClient(nc, obey, &Options{AckWait: 2 * time.Second}) // and a lease that it does not lose meanwhile
	test.Check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	var ended []<-chan error
	for range slowItems {
		ended = append(ended, test.Started(func() error {
			r, err := c.Do(ctx, deed{})
			if err == nil && !bytes.Equal(r.Data, data) {
				err = fmt.Errorf("got %d bytes", len(r.Data))
			}
			return err
		}))
	}
	stored(t, watcher, slowItems)
	result, err := encode(obey.ResultCodec(), newResult(resultValue), done{Data: data})
	test.Check(t, err)
	way.close(nc)
	for i := range slowItems {
		_, err := watcher.core.publish(ctx, &nats.Msg{Subject: watcher.core.result(id{c.core.id, strconv.Itoa(i + 1)}), Data: result})
		test.Check(t, err)
	}
	cutOff(t, server)
	way.open()
	for _, e := range ended {
		test.Check(t, <-e)
	}
}

// A slow Serve gets all tasks.
func TestSlowServe(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	server := impatient(t)
	c := clientOf(t, server.url(), quick())
	p, err := pool.New(obey, &pool.Options{Max: 1, PerWorker: slowItems})
	test.Check(t, err)
	nc, way := slow(t, server.url())
	serveCtx, stop := context.WithCancel(ctx)
	served := test.Started(func() error { return Serve(serveCtx, nc, p, quick()) })
	_, err = c.Do(ctx, deed{}) // it has begun, and asks for many
	test.Check(t, err)
	way.close(nc)
	ended := doAll(ctx, c, large(slowSize))
	cutOff(t, server)
	way.open()
	test.Check(t, <-ended)
	stop()
	test.Check(t, <-served)
	test.Check(t, p.Close())
}

// What is on its way to a Reader that is closed goes back to the channel at once, too.
func TestCloseWhileMessagesCome(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := &ChannelOptions[deed]{AckWait: time.Hour} // until then nobody would get them by itself
	w := writerOf(t, url, o)
	nc, way := slow(t, url)
	r, err := NewReader(ctx, nc, "a name", o)
	test.Check(t, err)
	consumer, err := w.channel.stream.Consumer(ctx, "readers")
	test.Check(t, err)
	unacknowledged := func(what string, n int) {
		t.Helper()
		test.Eventually(t, what, func() bool {
			info, err := consumer.Info(ctx)
			return err == nil && info.NumAckPending == n
		})
	}
	test.Check(t, w.Put(ctx, deed{}))
	_, err = r.Get(ctx)
	test.Check(t, err)
	test.Check(t, r.Ack())
	unacknowledged("the Reader has begun", 0)
	way.close(nc)
	for range 3 {
		test.Check(t, w.Put(ctx, deed{}))
	}
	unacknowledged("they are on their way", 3)
	closed := test.Started(r.Close)
	<-r.ctx.Done()
	way.open()
	test.Check(t, <-closed)
	again := readerOf(t, url, o)
	for range 3 {
		_, err := again.Get(ctx)
		test.Check(t, err)
	}
}
