package supervisor

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

func TestMain(m *testing.M) {
	// The race detector makes every process sleep for a second before it exits: children need not.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	gipc.Init()
	test.Prepare()
	os.Exit(m.Run())
}

func sendSignal(t testing.TB, pid int, sig os.Signal) {
	t.Helper()
	p, err := os.FindProcess(pid)
	test.Check(t, err)
	defer p.Release()
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

func deedChild(name, do string, o ChildOptions, spawn gipc.SpawnOptions) ChildSpec {
	spawn.Name = name
	o.Spawn = &spawn
	return Child(entryDeed, func(context.Context) (deedArgs, error) { return deedArgs{Do: do, N: 3}, nil }, &o)
}

// noMoreThan waits until a count that only falls now is at a limit.
func noMoreThan(t testing.TB, what string, limit int, count func() int) {
	t.Helper()
	late := time.After(10 * time.Second)
	for count() > limit {
		select {
		case <-time.After(time.Millisecond):
		case <-late:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d %s, want at most %d\n%s", count(), what, limit, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func stringPipe(t testing.TB) (*gipc.Reader[string], *gipc.Writer[string]) {
	t.Helper()
	r, w, err := gipc.Pipe[string](nil)
	test.Check(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.CloseNow() }) // most are closed, or moved
	return r, w
}

func get(t testing.TB, ctx context.Context, r *gipc.Reader[string]) string {
	t.Helper()
	v, err := r.Get(ctx)
	test.Check(t, err)
	return v
}

// writerFunc is a function that is written to.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
