package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// spawnIt starts a child, and ends it with the test.
func spawnIt[A any](t testing.TB, e *Entrypoint[A], args A, opts *SpawnOptions) *Process {
	t.Helper()
	p, err := Spawn(context.Background(), e, args, opts)
	test.Check(t, err)
	t.Cleanup(func() {
		_ = p.Kill() // most have ended
		<-p.Done()
	})
	return p
}

func stringPipe(t testing.TB) (*Reader[string], *Writer[string]) {
	t.Helper()
	return pipeOf[string](t, nil)
}

// pipeOf makes a channel whose ends are closed with the test.
func pipeOf[T any](t testing.TB, opts *Options[T]) (*Reader[T], *Writer[T]) {
	t.Helper()
	r, w, err := Pipe(inMemory(opts))
	test.Check(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.CloseNow() }) // most are closed, or moved
	return r, w
}

func duplexOf[A, B any](t testing.TB, a *Options[A], b *Options[B]) (*Duplex[A, B], *Duplex[B, A]) {
	t.Helper()
	mine, theirs, err := NewDuplex(inMemory(a), inMemory(b))
	test.Check(t, err)
	t.Cleanup(func() { _, _ = mine.CloseNow(), theirs.CloseNow() }) // as above
	return mine, theirs
}

func get[T any](t testing.TB, ctx context.Context, r interface {
	Get(context.Context) (T, error)
}) T {
	t.Helper()
	v, err := r.Get(ctx)
	test.Check(t, err)
	return v
}

func TestSpawnedChildRunsAndEnds(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	orders, order := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "await order", In: orders, Out: w}, &SpawnOptions{Name: "tester"})
	get(t, ctx, r)
	if !p.Alive() || p.PID() <= 0 || p.PID() == os.Getpid() || p.Name() != "tester" {
		t.Fatalf("%v: alive %v", p, p.Alive())
	}
	if code, exited := p.ExitCode(); exited {
		t.Errorf("exit code %d of a living child", code)
	}
	if want := fmt.Sprintf("tester (pid %d)", p.PID()); p.String() != want {
		t.Errorf("%q, want %q", p, want)
	}
	test.Check(t, order.Put(ctx, "nil"))
	<-p.Done()
	if code, exited := p.ExitCode(); !exited || code != 0 || p.Alive() {
		t.Errorf("code %d, exited %v, alive %v", code, exited, p.Alive())
	}
	test.Check(t, p.Wait(ctx))
	if want := fmt.Sprintf("tester (pid %d, ended)", p.PID()); p.String() != want {
		t.Errorf("%q, want %q", p, want)
	}
	test.Is(t, p.Kill(), os.ErrProcessDone)
	test.Is(t, p.Terminate(), os.ErrProcessDone)
	test.Is(t, p.Signal(os.Kill), os.ErrProcessDone)
	test.Check(t, p.Stop(ctx))
}

// A Stdin that never gives anything can't keep the child, nor the parent, waiting.
func TestStdinThatBlocksHoldsNobody(t *testing.T) {
	ctx := test.Context(t)
	r, w := io.Pipe()
	defer w.Close()
	p := spawnIt(t, entryDeed, deedArgs{Do: "nothing"}, &SpawnOptions{Stdin: r})
	test.Check(t, p.Wait(ctx))
}

func TestEnvironmentAndDirectory(t *testing.T) {
	ctx := test.Context(t)
	t.Setenv("GIPC_TEST_PARENT", "seen")
	env := func(opts *SpawnOptions) []string {
		r, w := stringPipe(t)
		test.Check(t, spawnIt(t, entryDeed, deedArgs{Do: "env", Out: w}, opts).Wait(ctx))
		return strings.Split(get(t, ctx, r), "\n")
	}
	for name, c := range map[string]struct {
		opts *SpawnOptions
		want string
		no   string
	}{
		"parent's": {nil, "GIPC_TEST_PARENT=seen", "GIPC_INHERITED"},
		"own":      {&SpawnOptions{Env: append(os.Environ(), "GIPC_TEST_OWN=x")}, "GIPC_TEST_OWN=x", "GIPC_INHERITED"},
		"replaced": {&SpawnOptions{Env: []string{"GIPC_TEST_OWN=x"}}, "GIPC_TEST_OWN=x", "GIPC_TEST_PARENT"},
		"callback": {&SpawnOptions{Command: func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "A=b") }}, "A=b", "GIPC_INHERITED"},
	} {
		got := env(c.opts)
		if !slices.Contains(got, c.want) {
			t.Errorf("%s: no %s in the child's environment", name, c.want)
		}
		if slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, c.no) }) {
			t.Errorf("%s: the child sees %s", name, c.no)
		}
	}

	dir := t.TempDir()
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "dir", Out: w}, &SpawnOptions{Dir: dir, Name: "my title"})
	test.Check(t, p.Wait(ctx))
	got, title, _ := strings.Cut(get(t, ctx, r), "\n")
	if !sameFile(t, got, dir) || title != "my title" {
		t.Errorf("child in %q with title %q", got, title)
	}
}

func sameFile(t *testing.T, a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	test.Check(t, errors.Join(errA, errB))
	return os.SameFile(infoA, infoB)
}

func TestRegisterRefuses(t *testing.T) {
	type withFunc struct{ Callback func() }
	type withChan struct{ Deep map[string][]chan int }
	good := func(context.Context, int) error { return nil }
	for name, c := range map[string]struct {
		register func()
		want     string
	}{
		"no name":      {func() { Register("", good) }, "no name"},
		"taken name":   {func() { Register("deed", good) }, "deed already"},
		"no function":  {func() { Register[int]("x", nil) }, "no function"},
		"func in args": {func() { Register("x", func(context.Context, withFunc) error { return nil }) }, "withFunc.Callback: func()"},
		"chan in args": {func() { Register("x", func(context.Context, withChan) error { return nil }) }, "withChan.Deep"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, c.want) {
					t.Errorf("panic %q, want %q in it", text, c.want)
				}
			}()
			c.register()
			t.Error("accepted")
		})
	}
}

func TestSpawnWithoutInitSaysSo(t *testing.T) {
	path, err := os.Executable()
	test.Check(t, err)
	cmd := exec.Command(path)
	cmd.Env = withInit("forgotten")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "true ") || !strings.Contains(string(out), ErrNotInitialized.Error()) {
		t.Errorf("%s, %v", out, err)
	}
}

func TestMillionElementsAsArguments(t *testing.T) {
	ctx := test.Context(t)
	r, w := pipeOf[int](t, nil)
	list := make([]int, 1_000_000)
	want := 0
	for i := range list {
		list[i] = i * 3
		want += list[i]
	}
	p := spawnIt(t, entrySum, sumArgs{Numbers: list, Sum: w}, nil)
	if got := get(t, ctx, r); got != want {
		t.Errorf("sum %d, want %d", got, want)
	}
	test.Check(t, p.Wait(ctx))
}

type sumArgs struct {
	Numbers []int
	Blob    []byte
	Sum     *Writer[int]
}

var entrySum = Register("sum", func(ctx context.Context, a sumArgs) error {
	sum := len(a.Blob)
	for _, n := range a.Numbers {
		sum += n
	}
	return a.Sum.Put(ctx, sum)
})

func TestHundredMegabytesAsArguments(t *testing.T) {
	ctx := test.Context(t)
	r, w := pipeOf[int](t, nil)
	size := 100 << 20
	if testing.Short() {
		size = 10 << 20
	}
	p := spawnIt(t, entrySum, sumArgs{Blob: make([]byte, size), Sum: w}, nil)
	if got := get(t, ctx, r); got != size {
		t.Errorf("%d bytes arrived, want %d", got, size)
	}
	test.Check(t, p.Wait(ctx))
}

// Through a child and back: more than the 64 MiB of TestBothDirectionsAtOnce.
func TestHundredMegabytesInAMessage(t *testing.T) {
	ctx := test.Context(t)
	size := 100 << 20
	if testing.Short() {
		size = 10 << 20
	}
	in, w := pipeOf(t, rawOptions)
	r, out := pipeOf(t, rawOptions)
	spawnIt(t, entryForwardBytes, forwardArgs{in, out}, nil)
	message := make([]byte, size)
	copy(message, test.Pattern(1<<20))
	copy(message[size-1<<20:], test.Pattern(1<<20))
	put := test.Started(func() error { return w.Put(ctx, message) })
	test.Bytes(t, get(t, ctx, r), message)
	test.Check(t, <-put)
}

type forwardArgs struct {
	In  *Reader[[]byte]
	Out *Writer[[]byte]
}

var entryForwardBytes = Register("forward bytes", func(ctx context.Context, a forwardArgs) error {
	return forwardAll(ctx, a.In, a.Out)
})
