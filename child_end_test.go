package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// What the end of a child means for its channels.

// manyChildren is how many children a test starts that would start n: fewer where starting one takes long.
func manyChildren(n int) int {
	if testing.Short() {
		n /= 10
	}
	if onWindows {
		n /= 8
	}
	return n
}

// Put; os.Exit: when Put has returned nil, the message arrives, whatever becomes of its sender.
func TestPutBeforeExitLosesNothing(t *testing.T) {
	t.Parallel() // beside those that mostly wait
	ctx := test.Context(t)
	rounds := manyChildren(1000)
	const lanes = 8
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			for i := range rounds / lanes {
				if err := lastMessage(ctx, fmt.Sprint("last ", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func lastMessage(ctx context.Context, text string) error {
	r, w, err := Pipe[string](nil)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := Spawn(ctx, entryDeed, deedArgs{Do: "put and exit", Out: w, Text: text}, nil)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	if err := p.Wait(ctx); err != nil {
		return err
	}
	got, err := r.Get(ctx)
	_, end := r.Get(ctx)
	if got != text || err != nil || !errors.Is(end, io.ErrUnexpectedEOF) { // it did not close its Writer
		return fmt.Errorf("got %q, %v, and then %v", got, err, end)
	}
	return nil
}

func TestBrokenPipeInAChildIsAnError(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "write on", Out: w, Text: "x"}, nil)
	get(t, ctx, r)
	test.Check(t, r.Close())
	test.Check(t, p.Wait(ctx)) // it returns nil for ErrPeerClosed, and nothing else

	in, order := stringPipe(t)
	p = spawnIt(t, entryDeed, deedArgs{Do: "read one", In: in}, nil)
	var err error
	for err == nil { // it reads one, and ends
		err = order.Put(ctx, "x")
	}
	test.Is(t, err, ErrPeerClosed)
	test.Check(t, p.Wait(ctx))
}

// A Writer whose reader has gone holds nothing that could still be sent, so the child doesn't wait for it when it ends.
func TestBrokenWriterDoesNotDelayTheEndOfItsChild(t *testing.T) {
	ctx := test.Context(t)
	for name, opts := range map[string]*Options[string]{"unbuffered": nil, "buffered": {Buffer: 1 << 10}} {
		t.Run(name, func(t *testing.T) {
			r, w := pipeOf(t, opts)
			p := spawnIt(t, entryDeed, deedArgs{Do: "write on", Out: w, Text: "x"}, &SpawnOptions{Grace: time.Hour})
			get(t, ctx, r)
			test.Check(t, r.Close())
			soon, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			test.Check(t, p.Wait(soon)) // "write on" returns as soon as it meets ErrPeerClosed
		})
	}
}

// What an entrypoint has left in the buffers of its Writers is sent, however slow its reader is.
func TestQueuedMessagesOutlastTheGrace(t *testing.T) {
	ctx := test.Context(t)
	const n, grace = 1000, 50 * time.Millisecond
	text := strings.Repeat("x", 1000) // in all, more than the pipe holds
	r, w := pipeOf(t, &Options[string]{Buffer: 4 << 20, PipeSize: 64 << 10})
	p := spawnIt(t, entryDeed, deedArgs{Do: "count", Out: w, N: n, Text: text}, &SpawnOptions{Grace: grace})
	late, cancel := context.WithTimeout(ctx, 4*grace)
	defer cancel()
	test.Is(t, p.Wait(late), context.DeadlineExceeded)
	for i := range n {
		if got := get(t, ctx, r); got != fmt.Sprint(text, i) {
			t.Fatalf("message %d is %.20q", i, got)
		}
	}
	test.Check(t, p.Wait(ctx))

	// Nobody reads, and it is asked to stop: Stop says so. It has a quarter of its grace for telling.
	_, w = pipeOf(t, &Options[string]{Buffer: 4 << 20, PipeSize: 64 << 10})
	counted, say := stringPipe(t)
	p = spawnIt(t, entryDeed, deedArgs{Do: "count", Out: w, N: n, Text: text, Rest: []*Writer[string]{say}}, &SpawnOptions{Grace: 16 * grace})
	get(t, ctx, counted)
	var e *ExitError
	if err := p.Stop(ctx); !errors.As(err, &e) || !strings.Contains(err.Error(), "before others had read") {
		t.Error(err)
	}
}
