package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// writerFunc is a function that is written to.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestStdinIsFedAndOutputCopied(t *testing.T) {
	input := strings.Repeat("line\n", 100_000) // above what a pipe holds
	var out bytes.Buffer
	c := begin(t, "copy", Command{Stdin: strings.NewReader(input), Stdout: &out})
	c.endsWith(t, 0)
	if out.String() != input {
		t.Errorf("%d bytes of %d", out.Len(), len(input))
	}

	out.Reset()
	c = begin(t, "copy", Command{Stdout: &out}) // from the null device
	c.endsWith(t, 0)
	test.Equal(t, out.Len(), 0)
}

func TestFilesAreGivenAsTheyAre(t *testing.T) {
	inR, inW, err := os.Pipe()
	test.Check(t, err)
	out, outW, err := fd.NewOutputPipe()
	test.Check(t, err)
	defer out.Close()
	c := begin(t, "copy", Command{Stdin: inR, Stdout: outW, Stderr: outW})
	test.Check(t, errors.Join(inR.Close(), outW.Close())) // they are the caller's
	_, err = inW.WriteString("through")
	test.Check(t, errors.Join(err, inW.Close()))
	all, err := io.ReadAll(out)
	test.Check(t, err)
	test.Equal(t, string(all), "through")
	c.endsWith(t, 0)
	test.Equal(t, len(c.Stderr()), 0)
}

// What feeds the child's stdin may block for ever, and the child may never read it.
func TestStdinHoldsNobody(t *testing.T) {
	never, w := io.Pipe()
	defer w.Close()
	c := begin(t, "nothing", Command{Stdin: never})
	c.endsWith(t, 0)

	c = begin(t, "nothing", Command{Stdin: bytes.NewReader(test.Pattern(1 << 20))})
	c.endsWith(t, 0)
}

func TestInputThatFailsIsAtItsEnd(t *testing.T) {
	var out bytes.Buffer
	failing := io.MultiReader(strings.NewReader("some"), iotest.ErrReader(errors.New("lost")))
	c := begin(t, "copy", Command{Stdin: failing, Stdout: &out})
	c.endsWith(t, 0)
	test.Equal(t, out.String(), "some")
}

// The child goes on when nobody takes its output, and the end of its stderr is kept.
func TestWriterThatFailsHarmsNoChild(t *testing.T) {
	full := errors.New("disk full")
	calls := 0
	const said = 300 << 10 // above what a pipe holds: somebody must read on
	c := begin(t, fmt.Sprint("print-much ", said), Command{Stderr: writerFunc(func([]byte) (int, error) { calls++; return 0, full })})
	err := c.end()
	test.Is(t, err, full)
	test.Equal(t, err.Error(), "stderr: disk full")
	test.Equal(t, calls, 1)
	code, _, _ := c.Status()
	test.Equal(t, code, 0)
	test.Bytes(t, c.Stderr(), test.Pattern(said)[said-MaxTail:])
}

func TestWriterThatBlocksHoldsNobody(t *testing.T) {
	t.Parallel() // most of it is waiting
	release := make(chan struct{})
	defer close(release)
	blocks := writerFunc(func(p []byte) (int, error) { <-release; return len(p), nil })
	c := begin(t, "print x", Command{Stdout: blocks})
	test.Is(t, c.end(), errWriterBlocks)
	if code, _, known := c.Status(); code != 0 || !known {
		t.Errorf("code %d, known %v", code, known)
	}
}

// A writer that is slow gets what was in the pipe when the copying was cut off.
func TestSlowWriterGetsTheRest(t *testing.T) {
	t.Parallel()          // most of it is waiting
	const said = 60 << 10 // fits into the pipe: the child doesn't wait
	var c *life
	var out bytes.Buffer
	begun := make(chan struct{})
	slow := writerFunc(func(p []byte) (int, error) {
		<-begun
		<-c.Served().Done()
		return out.Write(p)
	})
	c = begin(t, fmt.Sprint("print-much ", said), Command{Stderr: slow})
	close(begun)
	c.endsWith(t, 0)
	test.Bytes(t, out.Bytes(), test.Pattern(said))
}

// The patience for a slow writer is for each call: one that goes on has not blocked.
func TestSlowWriterIsNotTakenForOneThatBlocks(t *testing.T) {
	t.Parallel()          // most of it is waiting
	const said = 60 << 10 // fits into the pipe, and takes the writer two calls
	var c *life
	var out bytes.Buffer
	begun := make(chan struct{})
	slow := writerFunc(func(p []byte) (int, error) {
		<-begun
		<-c.Served().Done()
		if len(p) == 0 {
			t.Error("an empty Write")
		}
		time.Sleep(DrainDelay / 10 * 7)
		return out.Write(p)
	})
	c = begin(t, fmt.Sprint("print-much ", said), Command{Stderr: slow})
	close(begun)
	c.endsWith(t, 0)
	test.Bytes(t, out.Bytes(), test.Pattern(said))
}

// A writer that is in its last call when the copying is cut off isn't called again for nothing.
// Where everything is slow, a Read may return long after its deadline. That is no writer that blocks.
func TestReadThatReturnsLateIsNoWriterThatBlocks(t *testing.T) {
	r, w, err := fd.NewOutputPipe()
	test.Check(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	served, end := context.WithCancel(context.Background())
	end()
	copied := make(chan error, 1)
	time.AfterFunc(DrainDelay*5/4, func() { copied <- nil })
	test.Check(t, feed{from: r, to: newTail(io.Discard)}.awaitCopied(copied, served))
}

func TestNoWriterGetsAnEmptyWrite(t *testing.T) {
	t.Parallel() // most of it is waiting
	var c *life
	calls := 0
	begun := make(chan struct{})
	slow := writerFunc(func(p []byte) (int, error) {
		<-begun
		<-c.Served().Done()
		time.Sleep(DrainDelay / 10) // the read is cut off meanwhile
		calls++
		return len(p), nil
	})
	c = begin(t, "print x", Command{Stdout: slow})
	close(begun)
	c.endsWith(t, 0)
	test.Equal(t, calls, 1)
}

// One writer for both streams is called by one goroutine at a time, as os/exec does it.
func TestOneWriterForBothStreams(t *testing.T) {
	var both bytes.Buffer
	c := begin(t, "print-both", Command{Stdout: &both, Stderr: &both})
	c.endsWith(t, 0)
	want := strings.Repeat("out\nerr\n", 100)
	test.Equal(t, both.String(), want)
	test.Equal(t, string(c.Stderr()), want)

	var first, second bytes.Buffer // behind writers that can't be compared
	c = begin(t, "print-both", Command{Stdout: writerFunc(first.Write), Stderr: writerFunc(second.Write)})
	c.endsWith(t, 0)
	test.Equal(t, first.String(), strings.Repeat("out\n", 100))
	test.Equal(t, second.String(), strings.Repeat("err\n", 100))
}

func TestSameWriter(t *testing.T) {
	var a, b bytes.Buffer
	f := writerFunc(a.Write)
	test.Equal(t, sameWriter(&a, &a), true)
	test.Equal(t, sameWriter(&a, &b), false)
	test.Equal(t, sameWriter(f, f), false)
	test.Equal(t, sameWriter(nil, nil), false)
	test.Equal(t, sameWriter(nil, &a), false)
}

func TestTailIsTheEndOfAll(t *testing.T) {
	all := test.Pattern(5 * MaxTail)
	for _, piece := range []int{1, 100, MaxTail - 1, MaxTail, MaxTail + 1, 2*MaxTail + 1, len(all)} {
		var passed bytes.Buffer
		s := newTail(&passed)
		for at := 0; at < len(all); at += piece {
			p := all[at:min(at+piece, len(all))]
			n, err := s.Write(p)
			test.Check(t, err)
			test.Equal(t, n, len(p))
			if piece > 1 || at%1000 == 0 {
				test.Bytes(t, s.bytes(), all[max(0, at+len(p)-MaxTail):at+len(p)])
			}
			if len(s.kept) > 2*MaxTail {
				t.Fatalf("%d bytes are kept", len(s.kept))
			}
		}
		test.Bytes(t, passed.Bytes(), all)
		test.Check(t, s.failure())
	}
}

// The stacks of many goroutines come behind the text of a fatal error, and are more than what is kept.
func TestTailKeepsTheTextOfAFatalError(t *testing.T) {
	const text = "fatal error: out of memory\n"
	for _, behind := range []int{0, MaxTail / 2, 3 * MaxTail / 2, 10 * MaxTail} {
		stacks := strings.Repeat("goroutine 7 [running]:\n", behind/23)
		for _, before := range []string{"", "said before\n", strings.Repeat("said before\n", 10*MaxTail)} {
			for _, piece := range []int{100, 4096, MaxTail, 10 * MaxTail} {
				s := newTail(io.Discard)
				all := before + "fatal error: an earlier one\n" + stacks + "no fatal error: in a line\n" + text + stacks
				for at := 0; at < len(all); at += piece {
					_, err := s.Write([]byte(all[at:min(at+piece, len(all))]))
					test.Check(t, err)
				}
				value, _ := ExplainCrash([]byte("goroutine 1 [running]:\n"), s.crash())
				test.Equal(t, value, "out of memory")
			}
		}
	}
	s := newTail(io.Discard)
	_, err := s.Write([]byte("fatal error: " + strings.Repeat("x", 10*MaxTail)))
	test.Check(t, err)
	test.Equal(t, len(s.fatal), maxFatal)
}

func TestTailGoesOnWithoutItsWriter(t *testing.T) {
	full, calls := errors.New("disk full"), 0
	s := newTail(writerFunc(func([]byte) (int, error) { calls++; return 0, full }))
	for range 3 {
		n, err := s.Write([]byte("text"))
		test.Check(t, err)
		test.Equal(t, n, 4)
	}
	test.Equal(t, calls, 1)
	test.Equal(t, s.failure(), full)
	test.Equal(t, string(s.bytes()), "texttexttext")
}
