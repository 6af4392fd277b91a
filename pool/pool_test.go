package pool

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// newTestPool returns a pool of obey that ends with the test.
func newTestPool(t testing.TB, opts Options) *Pool[deed, done] {
	t.Helper()
	t.TempDir() // removed after the workers, which may write there, are gone
	p, err := New(obey, &opts)
	test.Check(t, err)
	t.Cleanup(func() { test.Check(t, p.Close()) })
	return p
}

func TestDoReturnsTheResult(t *testing.T) {
	ctx := test.Context(t)
	for _, shared := range []int{0, 1, 1 << 20} {
		p := newTestPool(t, Options{Max: 2, Shared: shared})
		for _, size := range []int{0, 1, 4000, 4096, 70_000, 3 << 20} {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(i * 7)
			}
			got, err := p.Do(ctx, deed{Do: "echo", Data: data})
			test.Check(t, err)
			test.Bytes(t, got.Data, data)
		}
	}
}

// Shared is that of a channel between processes.
func TestSharedIsThatOfTheChannels(t *testing.T) {
	r, w, err := gipc.Pipe(&gipc.Options[int]{Shared: 1})
	test.Check(t, err)
	defer r.Close()
	defer w.CloseNow()
	if !strings.Contains(r.String(), "shared") {
		t.Skip("this system has no memory to share")
	}
	p := newTestPool(t, Options{Max: 1, Shared: 10_000})
	pid(t, p)
	p.core.mu.Lock()
	channel := p.core.workers[0].channel.String()
	p.core.mu.Unlock()
	test.Equal(t, strings.Count(channel, "16384 bytes shared"), 2)
}

// anyWorker returns the pid of a worker, or 0.
func anyWorker(p *core) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.workers) == 0 {
		return 0
	}
	return p.workers[rand.IntN(len(p.workers))].pid
}

// recorder collects events.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) count(is func(Event) bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if is(e) {
			n++
		}
	}
	return n
}

func (r *recorder) await(t testing.TB, what string, is func(Event) bool) {
	t.Helper()
	test.Eventually(t, what, func() bool { return r.count(is) > 0 })
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	test.Check(t, err)
	return string(b)
}

// awaitText waits until a task has noted something, and returns it.
func awaitText(t testing.TB, path string) (text string) {
	t.Helper()
	test.Eventually(t, "the task notes something", func() bool { return size(path) > 0 })
	return read(t, path)
}

// remove deletes a file. On Windows that fails while a worker looks whether it is there.
func remove(t testing.TB, path string) {
	t.Helper()
	test.Eventually(t, "the file can be removed", func() bool { return os.Remove(path) == nil })
}

// One Logger gets what the pool reports, and what its workers log.
func TestLogger(t *testing.T) {
	var out test.Text
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := newTestPool(t, Options{Max: 1, Logger: logger})
	_, err := p.Do(test.Context(t), deed{Do: "log", N: 7})
	test.Check(t, err)
	_, err = p.Do(test.Context(t), deed{Do: "exit", N: 3})
	as[*WorkerError](t, err)
	test.Check(t, p.Close())
	for _, want := range []string{
		`level=INFO msg="from the worker" child=obey`, `level=DEBUG msg="gipc: worker ready" task=obey`,
		`level=WARN msg="gipc: worker ended" task=obey`, "reason=lost",
	} {
		test.Eventually(t, want, func() bool { return out.Has(want) })
	}
}
