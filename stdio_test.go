package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	addDeed("stdout", func(_ context.Context, a deedArgs) error {
		_, err := fmt.Print(a.Text)
		return err
	})
	addDeed("read and print", func(ctx context.Context, a deedArgs) error {
		text, err := a.In.Get(ctx)
		fmt.Print(text)
		return err
	})
	addDeed("print and await ctx", func(ctx context.Context, a deedArgs) error {
		fmt.Print(a.Text)
		if err := a.Out.Put(ctx, "printed"); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	addDeed("print both", func(_ context.Context, a deedArgs) error {
		for range a.N {
			fmt.Fprintln(os.Stdout, "out")
			fmt.Fprintln(os.Stderr, "err")
		}
		os.Exit(3)
		return nil
	})
}

// writerFunc is a function that is written to.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestStandardStreamsAreConnected(t *testing.T) {
	ctx := test.Context(t)
	var out, errOut bytes.Buffer
	input := strings.Repeat("line\n", 100_000)
	p := spawnIt(t, entryDeed, deedArgs{Do: "copy stdin"}, &SpawnOptions{
		Stdin: strings.NewReader(input), Stdout: &out, Stderr: &errOut,
	})
	test.Check(t, p.Wait(ctx))
	if out.String() != input || errOut.Len() > 0 {
		t.Errorf("%d bytes of stdout, %d of stderr; want %d, 0", out.Len(), errOut.Len(), len(input))
	}

	out.Reset()
	p = spawnIt(t, entryDeed, deedArgs{Do: "copy stdin"}, &SpawnOptions{Stdout: &out}) // from the null device
	test.Check(t, p.Wait(ctx))
	if out.Len() > 0 {
		t.Errorf("the null device gave %d bytes", out.Len())
	}
}

func TestFilesAsStandardStreams(t *testing.T) {
	ctx := test.Context(t)
	inR, inW, err := os.Pipe()
	test.Check(t, err)
	outR, outW, err := os.Pipe()
	test.Check(t, err)
	p := spawnIt(t, entryDeed, deedArgs{Do: "copy stdin"}, &SpawnOptions{Stdin: inR, Stdout: outW})
	test.Check(t, errors.Join(inR.Close(), outW.Close()))
	_, err = inW.WriteString("through")
	test.Check(t, errors.Join(err, inW.Close()))
	all, err := io.ReadAll(outR)
	test.Check(t, errors.Join(err, outR.Close()))
	if string(all) != "through" {
		t.Errorf("%q", all)
	}
	test.Check(t, p.Wait(ctx))
}

func TestOutputWriterThatFailsHarmsNobody(t *testing.T) {
	ctx := test.Context(t)
	full := errors.New("disk full")
	calls := 0
	fails := writerFunc(func(p []byte) (int, error) { calls++; return 0, full })
	said := strings.Repeat("x", 300<<10) // above what a pipe holds: somebody must read on
	p := spawnIt(t, entryDeed, deedArgs{Do: "stderr", Text: said}, &SpawnOptions{Stderr: fails})
	err := p.Wait(ctx)
	var e *ExitError
	if !errors.Is(err, full) || !errors.As(err, &e) || e.Code != 0 || !strings.Contains(err.Error(), "stderr: disk full") {
		t.Error(err)
	}
	if string(e.Stderr) != said[:maxTail] || calls != 1 {
		t.Errorf("%d bytes kept, %d calls", len(e.Stderr), calls)
	}

	r, w := stringPipe(t)
	p = spawnIt(t, entryDeed, deedArgs{Do: "print and await ctx", Text: "x", Out: w}, &SpawnOptions{Stdout: fails})
	get(t, ctx, r)
	if err := p.Stop(ctx); !errors.Is(err, full) || !errors.Is(err, context.Canceled) {
		t.Errorf("a child that ended as it was asked to: %v", err)
	}
}

// isWriterBlocks fails the test unless err says that a writer of the child's output still blocks.
func isWriterBlocks(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "the writer still blocks after the child's end") {
		t.Fatal(err)
	}
}

func TestOutputWriterThatBlocksHoldsNobody(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := test.Context(t)
	release := make(chan struct{})
	defer close(release)
	blocks := writerFunc(func(p []byte) (int, error) { <-release; return len(p), nil })
	p := spawnIt(t, entryDeed, deedArgs{Do: "stderr", Text: "x"}, &SpawnOptions{Stderr: blocks})
	err := p.Wait(ctx)
	isWriterBlocks(t, err)
	if code, exited := p.ExitCode(); code != 0 || !exited {
		t.Errorf("code %d, exited %v", code, exited)
	}

	// Nor does it hold a Spawn that fails.
	_, err = Spawn(ctx, entryDeed, deedArgs{Do: "nothing"}, &SpawnOptions{Env: withInit("exit 9"), Stdout: blocks, Stderr: blocks})
	test.Is(t, err, ErrNotReady)
}

func TestStrayOutputHarmsNothing(t *testing.T) {
	ctx := test.Context(t)
	var out, errOut bytes.Buffer
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "close stdio", Out: w}, &SpawnOptions{Env: withInit("print"), Stdout: &out, Stderr: &errOut})
	if got := get(t, ctx, r); got != "still here" {
		t.Error(got)
	}
	test.Check(t, p.Wait(ctx))
	if out.String() != "init says hello\n" || errOut.String() != "init says hello there\n" {
		t.Errorf("%q, %q", &out, &errOut)
	}
}

// A writer that is slow, but doesn't block, gets what the child left in the pipe, however long after the child's end.
func TestSlowOutputWriterGetsAllOrWaitSaysSo(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := test.Context(t)
	const said = 60 << 10 // fits into the pipe: the child doesn't wait
	for name, late := range map[string]bool{"in time": false, "too late": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan int, said)
			begun := make(chan *Process, 1)
			untilCutOff := sync.OnceFunc(func() {
				p := <-begun
				<-p.child.Served().Done()
				time.Sleep(50 * time.Millisecond) // is being slow
				if late {
					<-p.done
				}
			})
			slow := writerFunc(func(b []byte) (int, error) {
				untilCutOff()
				seen <- len(b)
				return len(b), nil
			})
			p := spawnIt(t, entryDeed, deedArgs{Do: "stdout", Text: strings.Repeat("x", said)}, &SpawnOptions{Stdout: slow})
			begun <- p
			err := p.Wait(ctx)
			if late {
				isWriterBlocks(t, err)
				return
			}
			test.Check(t, err)
			n := 0
			for len(seen) > 0 {
				n += <-seen
			}
			if n != said {
				t.Errorf("%d of %d bytes arrived", n, said)
			}
		})
	}
}

// One writer for both streams is called by one goroutine at a time, as os/exec does it.
func TestOneWriterForStdoutAndStderr(t *testing.T) {
	ctx := test.Context(t)
	var both bytes.Buffer
	p := spawnIt(t, entryDeed, deedArgs{Do: "print both", N: 1000}, &SpawnOptions{Stdout: &both, Stderr: &both})
	var e *ExitError
	if err := p.Wait(ctx); !errors.As(err, &e) {
		t.Fatal(err)
	}
	if want := strings.Repeat("out\nerr\n", 1000); both.String() != want || string(e.Stderr) != want {
		t.Errorf("%d bytes came, %d were kept, want %d in their order", both.Len(), len(e.Stderr), len(want))
	}

	// Writers that can't be compared are two.
	var first, second bytes.Buffer
	p = spawnIt(t, entryDeed, deedArgs{Do: "print both", N: 1}, &SpawnOptions{
		Stdout: writerFunc(first.Write), Stderr: writerFunc(second.Write),
	})
	_ = p.Wait(ctx)
	if first.String() != "out\n" || second.String() != "err\n" {
		t.Errorf("%q, %q", &first, &second)
	}
}
