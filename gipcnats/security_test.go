package gipcnats

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

var resize = pool.Register("resize", func(_ context.Context, d deed) (done, error) {
	if d.Do == "panic" {
		panic("as told")
	}
	return done{N: d.N, Data: d.Data}, nil
})

// The permissions in docs/nats.md are enough for workers, clients, writers and readers, for large values too. What else they ask for is an error.
func TestPermissionsOfTheDocs(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	page, err := os.ReadFile("../docs/nats.md")
	test.Check(t, err)
	_, conf, ok := strings.Cut(string(page), "```conf\n")
	conf, _, ok2 := strings.Cut(conf, "```")
	test.Equal(t, ok && ok2, true)
	path := filepath.Join(t.TempDir(), "nats.conf")
	test.Check(t, os.WriteFile(path, []byte(conf), 0o600))
	options, err := natsserver.ProcessConfigFile(path)
	test.Check(t, err)
	options.Host, options.Port, options.JetStream = "127.0.0.1", natsserver.RANDOM_PORT, true
	options.StoreDir, options.NoSigs, options.NoLog = t.TempDir(), true, true
	b := &broken{t: t, options: *options}
	b.start()
	t.Cleanup(b.stop)

	as := func(user string) *nats.Conn {
		nc, err := nats.Connect(b.url(), nats.UserInfo(user, "change-me"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", user, err)
			}
		}))
		test.Check(t, err)
		t.Cleanup(nc.Close)
		return nc
	}
	o := &Options{Prefix: "farm", MaxStarts: 2}
	admin, err := newServer(ctx, as("admin"), kindOfTask(resize, ""), "resize", *resolved(t, o))
	test.Check(t, err)
	_, err = admin.objects(ctx)
	test.Check(t, err)

	p, err := pool.New(resize, nil)
	test.Check(t, err)
	serveCtx, stop := context.WithCancel(ctx)
	served := test.Started(func() error { return Serve(serveCtx, as("worker"), p, o) })
	c, err := NewClient(as("client"), resize, o)
	test.Check(t, err)
	for _, size := range []int{1, 3 << 20} {
		r, err := c.Do(ctx, deed{N: 7, Data: large(size)})
		test.Check(t, err)
		test.Equal(t, len(r.Data), size)
	}
	_, err = c.Do(ctx, deed{Do: "panic", Data: large(3 << 20)})
	var worker *pool.WorkerError
	if !errors.As(err, &worker) {
		t.Errorf("got %v", err)
	}
	test.Check(t, admin.sweep(ctx, 0))
	sweeper, err := newServer(ctx, as("worker"), kindOfTask(resize, ""), "resize", *resolved(t, o))
	test.Check(t, err)
	test.Check(t, sweeper.sweep(ctx, 0))
	channelOfTheDocs(t, as)
	test.Check(t, sweeper.sweep(ctx, 0)) // a message of the channel is there
	test.Check(t, c.Close())
	stop()
	test.Check(t, <-served)
	test.Check(t, p.Close())
}

// channelOfTheDocs moves messages through channel frames, which the administrator makes.
func channelOfTheDocs(t *testing.T, as func(user string) *nats.Conn) {
	ctx := test.Context(t)
	o := &ChannelOptions[deed]{Prefix: "farm", AckWait: time.Second} // so that the Reader renews, too
	_, err := NewWriter(ctx, as("admin"), "frames", o)
	test.Check(t, err)
	w, err := NewWriter(ctx, as("writer"), "frames", o)
	test.Check(t, err)
	r, err := NewReader(ctx, as("reader"), "frames", o)
	test.Check(t, err)
	for _, size := range []int{1, 3 << 20} {
		test.Check(t, w.Put(ctx, deed{Data: large(size)}))
		v, err := r.Get(ctx)
		test.Check(t, err)
		test.Equal(t, len(v.Data), size)
		test.Check(t, r.channel.sweep(ctx, 0)) // finds its message
		if size > 1 {
			_, err = w.channel.renewValue(ctx, r.held[0].Subject()) // as a Put does that waits for long
			test.Check(t, err)
		}
	}
	test.Check(t, w.Close(ctx))
	_, err = r.Get(ctx)
	test.Equal(t, err, io.EOF)
	test.Check(t, r.Close())
	w, err = NewWriter(ctx, as("admin"), "another", o) // whose messages only the administrator may see
	test.Check(t, err)
	test.Check(t, w.Put(ctx, deed{Data: large(3 << 20)}))
	before := objects(t, w.channel.broker)
	test.Check(t, r.channel.sweep(ctx, 0))
	test.Equal(t, objects(t, w.channel.broker), before)
}

func resolved(t testing.TB, o *Options) *Options {
	t.Helper()
	r := *o
	test.Check(t, r.resolve())
	return &r
}
