package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// How a stream ends says whether all of it is there.

// ways are what a writing process may do behind its messages, and what its readers then get.
var ways = map[string]struct {
	do   func(ctx context.Context, out *Writer[string]) error
	want error
}{
	"returns nil":           {func(context.Context, *Writer[string]) error { return nil }, io.EOF},
	"closes, returns nil":   {func(_ context.Context, out *Writer[string]) error { return out.Close() }, io.EOF},
	"closes, exits":         {func(_ context.Context, out *Writer[string]) error { return errors.Join(out.Close(), exit(0)) }, io.EOF},
	"returns an error":      {func(context.Context, *Writer[string]) error { return errors.New("no luck") }, io.ErrUnexpectedEOF},
	"exits with 0":          {func(context.Context, *Writer[string]) error { return exit(0) }, io.ErrUnexpectedEOF},
	"exits with 3":          {func(context.Context, *Writer[string]) error { return exit(3) }, io.ErrUnexpectedEOF},
	"panics":                {func(context.Context, *Writer[string]) error { panic("boom") }, io.ErrUnexpectedEOF},
	"calls Goexit":          {func(context.Context, *Writer[string]) error { runtime.Goexit(); return nil }, io.ErrUnexpectedEOF},
	"closes now":            {func(_ context.Context, out *Writer[string]) error { return out.CloseNow() }, io.ErrUnexpectedEOF},
	"is killed":             {func(ctx context.Context, _ *Writer[string]) error { return killSelf(ctx) }, io.ErrUnexpectedEOF},
	"is stopped":            {func(ctx context.Context, _ *Writer[string]) error { <-ctx.Done(); return ctx.Err() }, io.ErrUnexpectedEOF},
	"defers Close, panics":  {func(_ context.Context, out *Writer[string]) error { defer out.Close(); panic("boom") }, io.ErrUnexpectedEOF},
	"defers Close, is well": {func(_ context.Context, out *Writer[string]) error { defer out.Close(); return nil }, io.EOF},
}

func exit(code int) error { os.Exit(code); return nil }

func killSelf(ctx context.Context) error {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err == nil {
		<-ctx.Done() // until it is dead
	}
	return err
}

type endArgs struct {
	Way string
	N   int
	Out *Writer[string]
}

// entryEnd puts N messages and then ends in some way.
var entryEnd = Register("end", func(ctx context.Context, a endArgs) error {
	for i := range a.N {
		if err := a.Out.Put(ctx, fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return ways[a.Way].do(ctx, a.Out)
})

// TestACrashIsNotAnEnd: the reader of a child, by whichever call it reads, learns whether all is there, without asking Wait;
// and so does a sibling, which can't.
func TestACrashIsNotAnEnd(t *testing.T) {
	const n = 20
	for name, way := range ways {
		for _, opts := range []Options[string]{{}, {Buffer: 1 << 16}, {Shared: 1 << 16}} {
			buffer := opts.Buffer
			t.Run(fmt.Sprintf("%s, buffer %d, shared %d", name, buffer, opts.Shared), func(t *testing.T) {
				t.Parallel()
				ctx := test.Context(t)
				messages := n
				if buffer > 0 && way.want != io.EOF && !strings.HasPrefix(name, "returns") || name == "is stopped" {
					messages = 0 // they may be lost in the queue, or not be sent any more
				}
				for reading, read := range map[string]func(r *Reader[string]) (int, error){
					"Get": func(r *Reader[string]) (n int, err error) {
						for {
							if _, err = r.Get(ctx); err != nil {
								return n, err
							}
							n++
						}
					},
					"All": func(r *Reader[string]) (n int, err error) {
						for _, err := range r.All(ctx) {
							if err != nil {
								return n, err
							}
							n++
						}
						return n, io.EOF
					},
					"Chan": func(r *Reader[string]) (n int, err error) {
						msgs, errs := r.Chan(ctx)
						for range msgs {
							n++
						}
						if err := <-errs; err != nil {
							return n, err
						}
						return n, io.EOF
					},
				} {
					r, w := pipeOf(t, &opts)
					p := spawnIt(t, entryEnd, endArgs{Way: name, N: messages, Out: w}, nil)
					if name == "is stopped" {
						_ = p.Stop(ctx) // it returns how the child ended
					}
					got, err := read(r)
					if got != messages || !errors.Is(err, way.want) {
						t.Errorf("%s: %d messages, %v, want %d, %v", reading, got, err, messages, way.want)
					}
				}

				r, w := pipeOf(t, &opts)
				told, tell := stringPipe(t)
				sibling := spawnIt(t, entryTellEnd, tellEndArgs{In: r, Tell: tell}, nil)
				p := spawnIt(t, entryEnd, endArgs{Way: name, N: messages, Out: w}, nil)
				if name == "is stopped" {
					_ = p.Stop(ctx)
				}
				if got, want := get(t, ctx, told), fmt.Sprint(messages, " ", way.want == io.EOF); got != want {
					t.Errorf("the sibling says %q, want %q", got, want)
				}
				test.Check(t, sibling.Wait(ctx))
			})
		}
	}
}

type tellEndArgs struct {
	In   *Reader[string]
	Tell *Writer[string]
}

// entryTellEnd counts messages and says whether the stream ended well.
var entryTellEnd = Register("tell end", func(ctx context.Context, a tellEndArgs) error {
	n := 0
	for {
		_, err := a.In.Get(ctx)
		if err == nil {
			n++
			continue
		}
		if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		return a.Tell.Put(ctx, fmt.Sprint(n, " ", err == io.EOF))
	}
})

// TestAParentsEndIsExactToo: what a child reads ends as its parent ended it.
func TestAParentsEndIsExactToo(t *testing.T) {
	ctx := test.Context(t)
	for name, c := range map[string]struct {
		end  func(w *Writer[string]) error
		well bool
	}{
		"Close":    {(*Writer[string]).Close, true},
		"CloseNow": {(*Writer[string]).CloseNow, false},
	} {
		r, w := stringPipe(t)
		told, tell := stringPipe(t)
		p := spawnIt(t, entryTellEnd, tellEndArgs{In: r, Tell: tell}, nil)
		test.Check(t, w.Put(ctx, "one"))
		test.Check(t, c.end(w))
		test.Equal(t, get(t, ctx, told), fmt.Sprint("1 ", c.well))
		if err := p.Wait(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnEndThatWasMovedOnIsEndedByWhoHasIt: a Writer that went through a child to a grandchild, and a mark that its Reader had
// read before it moved.
func TestAnEndThatWasMovedOnIsEndedByWhoHasIt(t *testing.T) {
	ctx := test.Context(t)
	for _, name := range []string{"returns nil", "panics"} {
		r, w := stringPipe(t)
		p := spawnIt(t, entryPassEnd, endArgs{Way: name, N: 3, Out: w}, nil)
		for i := range 3 {
			test.Equal(t, get(t, ctx, r), fmt.Sprint(i))
		}
		_, err := r.Get(ctx)
		test.Is(t, err, ways[name].want)
		test.Check(t, p.Wait(ctx))
	}

	r, w := stringPipe(t)
	test.Check(t, w.Close())
	_, err := r.Get(ctx)
	test.Equal(t, err, io.EOF)
	told, tell := stringPipe(t)
	spawnIt(t, entryTellEnd, tellEndArgs{In: r, Tell: tell}, nil)
	test.Equal(t, get(t, ctx, told), "0 true")
}

var entryPassEnd *Entrypoint[endArgs]

func init() {
	entryPassEnd = Register("pass end", func(ctx context.Context, a endArgs) error {
		p, err := Spawn(ctx, entryEnd, a, nil)
		if err != nil {
			return err
		}
		<-p.Done()
		return nil // whatever became of it
	})
}

// TestChildrenWithFullPipesEnd: two that have filled the pipes between them return at the same time, and neither waits for
// the other: each closes what it reads first.
func TestChildrenWithFullPipesEnd(t *testing.T) {
	ctx := test.Context(t)
	a, b := duplexOf[string, string](t, &Options[string]{Buffer: 1 << 20, PipeSize: 64 << 10}, &Options[string]{Buffer: 1 << 20, PipeSize: 64 << 10})
	first := spawnIt(t, entryFill, a, &SpawnOptions{Grace: time.Hour})
	second := spawnIt(t, entryFill, b, &SpawnOptions{Grace: time.Hour})
	test.Check(t, first.Wait(ctx))
	test.Check(t, second.Wait(ctx))
}

var entryFill = Register("fill", func(ctx context.Context, talk *Duplex[string, string]) error {
	for range 10 {
		if err := talk.Put(ctx, strings.Repeat("x", 100_000)); err != nil {
			if errors.Is(err, ErrPeerClosed) {
				return nil
			}
			return err
		}
	}
	return nil
})

// TestWhatAnEntrypointReturnedIsKnownThoughItsQueueCannotDrain: the error is told before the queue is sent, and Stop bounds
// that.
func TestWhatAnEntrypointReturnedIsKnownThoughItsQueueCannotDrain(t *testing.T) {
	ctx := test.Context(t)
	for text, want := range map[string]string{"disk is on fire": "disk is on fire", "": "before others had read"} {
		_, w := pipeOf[string](t, &Options[string]{Buffer: 1 << 20, PipeSize: 64 << 10})
		returning, say := stringPipe(t)
		p := spawnIt(t, entryQueue, queueArgs{Text: text, Out: w, Say: say}, &SpawnOptions{Grace: 4 * time.Second})
		get(t, ctx, returning)
		err := p.Stop(ctx)
		var exit *ExitError
		if !errors.As(err, &exit) || !strings.Contains(err.Error(), want) || exit.Asked {
			t.Errorf("%q: %v", text, err)
		}
		if exit.Signal == syscall.SIGKILL {
			t.Errorf("%q: it had to be killed: %v", text, err)
		}
	}
}

type queueArgs struct {
	Text     string
	Out, Say *Writer[string]
}

var entryQueue = Register("queue", func(ctx context.Context, a queueArgs) error {
	for range 100 {
		if err := a.Out.Put(ctx, strings.Repeat("x", 5000)); err != nil {
			return err
		}
	}
	if err := a.Say.Put(ctx, "returning"); err != nil || a.Text == "" {
		return err
	}
	return errors.New(a.Text)
})

// TestWhatAChanHasTakenOutlivesTheEntrypoint: though it returns at once.
func TestWhatAChanHasTakenOutlivesTheEntrypoint(t *testing.T) {
	ctx := test.Context(t)
	for range test.Scaled(80) {
		r, w := stringPipe(t)
		p := spawnIt(t, entryChanAndReturn, w, nil)
		for i := range 3 {
			test.Equal(t, get(t, ctx, r), fmt.Sprint(i))
		}
		_, err := r.Get(ctx)
		test.Equal(t, err, io.EOF)
		test.Check(t, p.Wait(ctx))
	}
}

var entryChanAndReturn = Register("chan and return", func(ctx context.Context, out *Writer[string]) error {
	msgs, _ := out.Chan(ctx)
	for i := range 3 {
		msgs <- fmt.Sprint(i)
	}
	return nil
})

// TestDeferredCloseTellsWhetherItsFunctionWasDone: a Close that runs because of a panic or of Goexit sends what was accepted,
// but doesn't say that it was all.
func TestDeferredCloseTellsWhetherItsFunctionWasDone(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(w *Writer[string])
		want error
	}{
		"returns": {func(w *Writer[string]) { defer w.Close() }, io.EOF},
		"panics": {func(w *Writer[string]) {
			defer func() { _ = recover() }()
			defer w.Close()
			panic("something failed")
		}, io.ErrUnexpectedEOF},
		"calls Goexit": {func(w *Writer[string]) {
			done := make(chan bool)
			go func() {
				defer close(done)
				defer w.Close()
				runtime.Goexit()
			}()
			<-done
		}, io.ErrUnexpectedEOF},
		"tries, and panics": {func(w *Writer[string]) {
			defer func() { _ = recover() }()
			defer w.TryClose()
			panic("something failed")
		}, io.ErrUnexpectedEOF},
		"recovers from a panic before": {func(w *Writer[string]) {
			defer w.Close()
			func() {
				defer func() { _ = recover() }()
				panic("nothing failed")
			}()
		}, io.EOF},
	} {
		r, w := stringPipe(t)
		test.Check(t, w.Put(t.Context(), "sent"))
		c.end(w)
		test.Equal(t, get(t, t.Context(), r), "sent")
		if _, err := r.Get(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
