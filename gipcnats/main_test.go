package gipcnats

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

func TestMain(m *testing.M) {
	gipc.Init()
	test.Prepare()
	_ = flag.Set("test.parallel", "8") // they mostly wait, and each has a server of its own
	os.Exit(m.Run())
}

// deed is what the task of most tests is told to do.
type deed struct {
	Do   string
	N    int
	Path string
	Data []byte
}

// done is what it returns.
type done struct {
	PID  int
	N    int
	Data []byte
}

var errRegistered = errors.New("an error that both sides know")

func init() { gipc.RegisterError("gipcnats test", errRegistered) }

var obey = pool.Register("obey me", func(ctx context.Context, d deed) (done, error) {
	result := done{PID: os.Getpid(), N: d.N}
	switch d.Do {
	case "":
	case "note": // one more line in a file
		note(d.Path, fmt.Sprintln(d.N))
	case "echo":
		result.Data = d.Data
	case "large":
		result.Data = large(d.N)
	case "sum":
		sum := sha256.Sum256(d.Data)
		result.Data = sum[:]
	case "fail":
		return result, fmt.Errorf("no luck with %d: %w", d.N, fs.ErrNotExist)
	case "fail registered":
		return result, fmt.Errorf("wrapped: %w", errRegistered)
	case "panic":
		note(d.Path, fmt.Sprintln(os.Getpid()))
		panic("as told")
	case "until told": // a file appears when the task runs, and the task ends when it is removed
		note(d.Path, fmt.Sprintln(os.Getpid()))
		for exists(d.Path) {
			if ctx.Err() != nil {
				return result, ctx.Err()
			}
			time.Sleep(time.Millisecond)
		}
	case "until cancelled":
		note(d.Path, "x")
		<-ctx.Done()
		note(d.Path+".end", fmt.Sprint(context.Cause(ctx)))
		return result, ctx.Err()
	case "deadline":
		t, ok := ctx.Deadline()
		result.N = int(time.Until(t).Seconds())
		if !ok {
			result.N = -1
		}
	default:
		return result, fmt.Errorf("unknown deed %q", d.Do)
	}
	return result, nil
})

// note appends text to a file.
func note(path, text string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return // the test has ended
	}
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		panic(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// broken is a server that the test may end and start again, on the same port with the same store.
type broken struct {
	t       testing.TB
	options natsserver.Options
	server  *natsserver.Server
}

func startServer(t testing.TB) *broken {
	t.Helper()
	return startServerWith(t, func(*natsserver.Options) {})
}

func startServerWith(t testing.TB, change func(*natsserver.Options)) *broken {
	t.Helper()
	b := &broken{t: t, options: natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}}
	change(&b.options)
	b.start()
	b.options.Port = b.server.Addr().(*net.TCPAddr).Port
	t.Cleanup(b.stop)
	return b
}

func (b *broken) start() {
	b.t.Helper()
	options := b.options
	s, err := natsserver.NewServer(&options)
	test.Check(b.t, err)
	s.Start()
	if !s.ReadyForConnections(test.Patience / 2) {
		b.t.Fatal("the server does not start")
	}
	b.server = s
}

func (b *broken) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (b *broken) url() string { return b.server.ClientURL() }

// connect returns a connection that comes back as often as the server does.
func connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := dial(url)
	test.Check(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func dial(url string) (*nats.Conn, error) {
	return nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.RetryOnFailedConnect(true))
}

// quick are options with short times, for tests in which somebody dies.
func quick() *Options {
	return &Options{AckWait: 2 * time.Second, Lease: 3 * time.Second}
}

// serving runs a Serve in this process until the test ends.
func serving(t testing.TB, url string, opts *Options, poolOpts *pool.Options) (p *pool.Pool[deed, done], stop func() error) {
	t.Helper()
	var o pool.Options
	if poolOpts != nil {
		o = *poolOpts
	}
	o.Spawn = &gipc.SpawnOptions{Stderr: io.Discard} // panics are told by errors
	p, err := pool.New(obey, &o)
	test.Check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	nc := connect(t, url)
	ended := test.Started(func() error { return Serve(ctx, nc, p, opts) })
	var result error
	stopped := false
	stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			result = <-ended
		}
		return result
	}
	t.Cleanup(func() {
		test.Check(t, p.Close())
		if err := stop(); err != nil && !errors.Is(err, pool.ErrClosed) {
			t.Error(err)
		}
	})
	return p, stop
}

func clientOf(t testing.TB, url string, opts *Options) *Client[deed, done] {
	t.Helper()
	c, err := NewClient(connect(t, url), obey, opts)
	test.Check(t, err)
	t.Cleanup(func() { test.Check(t, c.Close()) })
	return c
}

// serveArgs are those of a Serve in a process of its own: a machine, as far as the others can tell.
type serveArgs struct {
	URL       string
	Workers   int
	MaxStarts int
}

var serveThere = gipc.Register("gipcnats test serve", func(ctx context.Context, a serveArgs) error {
	p, err := pool.New(obey, &pool.Options{Max: a.Workers, Grace: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	nc, err := dial(a.URL)
	if err != nil {
		return err
	}
	defer nc.Close()
	o := quick()
	o.MaxStarts = a.MaxStarts
	if err := Serve(ctx, nc, p, o); err != nil {
		return err
	}
	return p.Close()
})

// machine starts one. The test ends it.
func machine(t testing.TB, a serveArgs) *gipc.Process {
	t.Helper()
	p, err := gipc.Spawn(context.Background(), serveThere, a, nil)
	test.Check(t, err)
	t.Cleanup(func() {
		p.Kill()
		<-p.Done()
	})
	return p
}
