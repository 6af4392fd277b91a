package gipcnats

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// The permissions in docs/nats.md are enough for workers and clients, for large values too. What else they ask for is an error.
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
	test.Check(t, c.Close())
	stop()
	test.Check(t, <-served)
	test.Check(t, p.Close())
}

func resolved(t testing.TB, o *Options) *Options {
	t.Helper()
	r := *o
	test.Check(t, r.resolve())
	return &r
}
