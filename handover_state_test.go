package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// digest tells payloads apart.
func digest(b []byte) string { return fmt.Sprintf("%d bytes, crc %08x", len(b), crc32.ChecksumIEEE(b)) }

// digestsArgs are those of a child that answers every message with its digest.
type digestsArgs struct {
	In  *Reader[[]byte]
	Out *Writer[string]
}

var entryDigests = Register("digests", func(ctx context.Context, a digestsArgs) error {
	for v, err := range a.In.All(ctx) {
		answer := digest(v)
		if err != nil {
			answer = err.Error()
		}
		if err := a.Out.Put(ctx, answer); err != nil {
			return err
		}
	}
	return nil
})

// numbered is a payload of n bytes like no other.
func numbered(i, n int) []byte {
	b := bytes.Repeat([]byte{byte(i), byte(i >> 8), 0xa5}, n/3+1)
	return b[:n]
}

// What a Reader had read from its pipe and not delivered comes first in the child.
func TestUnreadMessagesMove(t *testing.T) {
	const large = 300 << 10 // far above what a pipe holds
	cut := func(in func(t *testing.T, ctx context.Context, r *Reader[[]byte], w io.Writer) (rest []byte, want [][]byte)) func(*testing.T) {
		return func(t *testing.T) {
			ctx := test.Context(t)
			file, w, err := fd.NewPipe(0)
			test.Check(t, err)
			defer w.Close()
			r := NewReader(file, &Options[[]byte]{Codec: Raw{}, MaxMessage: large})
			rest, want := in(t, ctx, r, w)
			answers, out := stringPipe(t)
			p := spawnIt(t, entryDigests, digestsArgs{r, out}, nil)
			last := numbered(99, 1000)
			_, err = w.Write(slices.Concat(rest, frameOf(last)))
			test.Check(t, errors.Join(err, w.Close()))
			for _, payload := range append(want, last) {
				if got := get(t, ctx, answers); got != digest(payload) {
					t.Errorf("the child got %s, want %s", got, digest(payload))
				}
			}
			test.Check(t, p.Wait(ctx))
			if v, err := answers.Get(ctx); err != io.EOF {
				t.Errorf("%q, %v after the last", v, err)
			}
		}
	}

	t.Run("small messages", cut(func(t *testing.T, ctx context.Context, r *Reader[[]byte], w io.Writer) ([]byte, [][]byte) {
		var stream []byte
		var want [][]byte
		for i := range 5 {
			want = append(want, numbered(i, i*100))
			stream = append(stream, frameOf(want[i])...)
		}
		_, err := w.Write(stream)
		test.Check(t, err)
		get(t, ctx, r)
		return nil, want[1:]
	}))

	t.Run("half a header", cut(func(t *testing.T, ctx context.Context, r *Reader[[]byte], w io.Writer) ([]byte, [][]byte) {
		first, second := frameOf(numbered(1, 10)), frameOf(numbered(2, 10))
		_, err := w.Write(append(first, second[:2]...))
		test.Check(t, err)
		get(t, ctx, r)
		return second[2:], [][]byte{numbered(2, 10)}
	}))

	t.Run("half a large message", cut(func(t *testing.T, ctx context.Context, r *Reader[[]byte], w io.Writer) ([]byte, [][]byte) {
		frame := frameOf(numbered(3, large))
		half := len(frame) / 2
		cancelledGet(t, ctx, r, func() { // when the Write has returned, Get has read the greater part of it
			_, err := w.Write(frame[:half])
			test.Check(t, err)
		})
		return frame[half:], [][]byte{numbered(3, large)}
	}))

	t.Run("the rest of a refused message", cut(func(t *testing.T, ctx context.Context, r *Reader[[]byte], w io.Writer) ([]byte, [][]byte) {
		return refusedHalf(t, ctx, r, w, large+1), nil
	}))

	t.Run("a message given back", cut(func(t *testing.T, ctx context.Context, r *Reader[[]byte], w io.Writer) ([]byte, [][]byte) {
		_, err := w.Write(slices.Concat(frameOf(numbered(1, 50)), frameOf(numbered(2, 60))))
		test.Check(t, err)
		giveBack := undelivered(t, ctx, r)
		giveBack()
		return nil, [][]byte{numbered(1, 50), numbered(2, 60)}
	}))

	t.Run("a message given back before the rest of a refused one", cut(func(t *testing.T, ctx context.Context, r *Reader[[]byte], w io.Writer) ([]byte, [][]byte) {
		_, err := w.Write(frameOf(numbered(1, 50)))
		test.Check(t, err)
		giveBack := undelivered(t, ctx, r)
		rest := refusedHalf(t, ctx, r, w, large+1)
		giveBack()
		return rest, [][]byte{numbered(1, 50)}
	}))
}

func frameOf(payload []byte) []byte { return appendFrame(nil, payload) }

// cancelledGet cancels a Get after during.
func cancelledGet(t *testing.T, ctx context.Context, r *Reader[[]byte], during func()) {
	getCtx, cancel := context.WithCancel(ctx)
	result := make(chan error, 1)
	go func() { result <- second(r.Get(getCtx)) }()
	during()
	cancel()
	test.Is(t, <-result, context.Canceled)
}

// refusedHalf makes r refuse a message of n bytes of which only the first part has arrived, and returns the rest.
func refusedHalf(t *testing.T, ctx context.Context, r *Reader[[]byte], w io.Writer, n int) (rest []byte) {
	frame := frameOf(numbered(7, n))
	_, err := w.Write(frame[:1000])
	test.Check(t, err)
	var tooLarge *TooLargeError
	if _, err := r.Get(ctx); !errors.As(err, &tooLarge) {
		t.Fatalf("a message above the limit: %v", err)
	}
	return frame[1000:]
}

// undelivered makes a Chan take a message that nobody receives. The returned function ends the Chan.
func undelivered(t *testing.T, ctx context.Context, r *Reader[[]byte]) (giveBack func()) {
	chanCtx, cancel := context.WithCancel(ctx)
	_, errs := r.Chan(chanCtx)
	test.Eventually(t, "Chan takes a message", func() bool { return r.Stats().Received == 1 })
	return func() {
		cancel()
		test.Is(t, <-errs, context.Canceled)
	}
}

func TestQueuedMessagesAreSentBeforeTheMove(t *testing.T) {
	ctx := test.Context(t)
	r, w := pipeOf(t, &Options[string]{Buffer: 4 << 20})
	const n = 20
	text := strings.Repeat("q", 100<<10)
	for i := range n {
		test.Check(t, w.Put(ctx, fmt.Sprint(i, text)))
	}
	var got []string
	received := make(chan error, 1)
	go func() {
		for v, err := range r.All(ctx) {
			if err != nil {
				received <- err
				return
			}
			got = append(got, strings.TrimRight(v, "q"))
		}
		received <- nil
	}()
	p := spawnIt(t, entryDeed, deedArgs{Do: "count", Out: w, Text: "child ", N: n}, nil)
	test.Check(t, <-received)
	var want []string
	for i := range 2 * n {
		if want = append(want, fmt.Sprint(i)); i >= n {
			want[i] = fmt.Sprint("child ", i-n)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	test.Check(t, p.Wait(ctx))
}

func TestQueueThatNobodyReadsEndsWithStartTimeout(t *testing.T) {
	ctx := test.Context(t)
	r, w := pipeOf(t, &Options[string]{Buffer: 4 << 20})
	test.Check(t, w.Put(ctx, strings.Repeat("q", 1<<20)))
	_, err := Spawn(ctx, entryDeed, deedArgs{Do: "say", Out: w}, &SpawnOptions{StartTimeout: 50 * time.Millisecond})
	test.Is(t, err, ErrNotReady, context.DeadlineExceeded)
	get(t, ctx, r)
	test.Check(t, w.Put(ctx, "on"))
	if got := get(t, ctx, r); got != "on" {
		t.Errorf("got %q", got)
	}
}

func TestEndInUseIsLockedAndNothingMoves(t *testing.T) {
	ctx := test.Context(t)
	for name, use := range map[string]func(t *testing.T, ctx context.Context, a deedArgs) (stop func()){
		"Get": func(t *testing.T, ctx context.Context, a deedArgs) func() {
			return underWayOn(t, ctx, a.In, func(ctx context.Context) error { return second(a.In.Get(ctx)) })
		},
		"Get of a Duplex": func(t *testing.T, ctx context.Context, a deedArgs) func() {
			return underWayOn(t, ctx, a.Talk, func(ctx context.Context) error { return second(a.Talk.Get(ctx)) })
		},
		"Reader.Chan": func(t *testing.T, ctx context.Context, a deedArgs) func() {
			return underWayOn(t, ctx, a.In, func(ctx context.Context) error {
				_, errs := a.In.Chan(ctx)
				return <-errs
			})
		},
		"Put": func(t *testing.T, ctx context.Context, a deedArgs) func() {
			return underWayOn(t, ctx, a.Out, func(ctx context.Context) error {
				return a.Out.Put(ctx, strings.Repeat("x", 1<<20))
			})
		},
		"Writer.Chan": func(t *testing.T, ctx context.Context, a deedArgs) func() {
			ctx, cancel := context.WithCancel(ctx)
			_, errs := a.Out.Chan(ctx)
			return func() {
				cancel()
				test.Is(t, <-errs, context.Canceled)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in, w := stringPipe(t)
			r, out := stringPipe(t)
			talk, theirs := duplexOf[string, string](t, nil, nil)
			file, err := os.Open(os.DevNull)
			test.Check(t, err)
			a := deedArgs{Do: "nothing", In: in, Out: out, Talk: theirs, File: file}
			stop := use(t, ctx, a)
			_, err = Spawn(ctx, entryDeed, a, nil)
			test.Is(t, err, ErrLocked)
			stop()
			test.Check(t, talk.Put(ctx, "1"))
			get(t, ctx, theirs)
			test.Check(t, theirs.Put(ctx, "2"))
			get(t, ctx, talk)
			test.Check(t, w.Put(ctx, "3"))
			get(t, ctx, in)
			go out.Put(ctx, "4") // behind what a cancelled Put has left
			for get(t, ctx, r) != "4" {
			}
			test.Check(t, file.Close())
		})
	}
}

// underWayOn begins a call on an end, which waits. The returned function cancels it.
func underWayOn(t *testing.T, ctx context.Context, end interface{ Stats() Stats }, call func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	result := test.Started(func() error { return call(ctx) })
	test.Eventually(t, "the call begins", func() bool { return end.Stats().Calls > 0 })
	return func() {
		cancel()
		test.Is(t, <-result, context.Canceled)
	}
}

// Two Spawns that want the same ends can't wait for each other.
func TestSpawnsOfTheSameEndsDoNotWaitForEachOther(t *testing.T) {
	ctx := test.Context(t)
	for range 20 {
		_, w1 := stringPipe(t)
		_, w2 := stringPipe(t)
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, rest := range [][]*Writer[string]{{w1, w2}, {w2, w1}} {
			wg.Go(func() {
				var p *Process
				if p, errs[i] = Spawn(ctx, entryDeed, deedArgs{Do: "nothing", Rest: rest}, nil); errs[i] == nil {
					errs[i] = p.Wait(ctx)
				}
			})
		}
		wg.Wait()
		for i, err := range errs {
			if err != nil && !errors.Is(err, ErrLocked) && !errors.Is(err, ErrMoved) {
				t.Errorf("%d: %v", i, err)
			}
		}
	}

	_, w := stringPipe(t)
	r, _ := stringPipe(t)
	for _, h := range []half{w.out, r.in} {
		test.Check(t, h.BeginMove(ctx))
		test.Is(t, h.BeginMove(ctx), ErrLocked)
		h.AbandonMove()
		test.Check(t, h.BeginMove(ctx))
		h.AbandonMove()
	}
}
