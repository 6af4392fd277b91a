package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/ring"
	"github.com/go-gipc/gipc/internal/test"
)

// Channels with Options.Shared. Where the system has no memory to share they are pipes, and must do the same.

func sharedOptions(size int) *Options[[]byte] { return &Options[[]byte]{Codec: Raw{}, Shared: size} }

func init() {
	if !hasSharedMemory() {
		return
	}
	for _, opts := range []*Options[[]byte]{
		sharedOptions(1), sharedOptions(1 << 20), {Codec: Raw{}, Shared: 1, Buffer: 10_000},
	} {
		name := fmt.Sprintf("shared memory %d, buffer %d", opts.Shared, opts.Buffer)
		transports = append(transports, transport{name, func(t testing.TB) (*Reader[[]byte], *Writer[[]byte]) {
			return rawPipe(t, opts)
		}}, transport{name + ", a child", func(t testing.TB) (*Reader[[]byte], *Writer[[]byte]) {
			mine, theirs := duplexOf(t, opts, opts)
			spawnIt(t, entryEchoBytes, theirs, nil)
			return mine.Reader(), mine.Writer()
		}})
	}
}

func hasSharedMemory() bool {
	r, w, err := ring.New(1)
	return err == nil && errors.Join(r.Close(), w.Close()) == nil
}

// sharesMemory skips a test where channels are pipes whatever Shared says.
func sharesMemory(t testing.TB) {
	t.Helper()
	if !hasSharedMemory() {
		t.Skip("this system has no memory to share")
	}
}

func TestSharedMemoryShows(t *testing.T) {
	sharesMemory(t)
	r, w := rawPipe(t, sharedOptions(10_000))
	for _, end := range []fmt.Stringer{r, w} {
		if !strings.Contains(end.String(), "16384 bytes shared") {
			t.Errorf("an end is %s", end)
		}
	}
	got := test.Started(func() error { _, err := r.Get(t.Context()); return err })
	for r.Stats().Wakeups == 0 { // the message may come before it sleeps
		test.Check(t, w.Put(t.Context(), []byte("x")))
		test.Check(t, <-got)
		got = test.Started(func() error { _, err := r.Get(t.Context()); return err })
	}
	if w.Stats().Wakeups == 0 {
		t.Error("the Reader was woken, and the Writer did not wake it")
	}
	test.Check(t, w.Close())
	test.Equal(t, <-got, io.EOF)
}

func TestNegativeSharedIsRefused(t *testing.T) {
	_, _, err := Pipe(&Options[int]{Shared: -1})
	if err == nil || !strings.Contains(err.Error(), "negative") {
		t.Error(err)
	}
}

// A Put that fits into the memory is never partial, however full that is. One that doesn't is, as on a pipe.
func TestCancelledPutIntoSharedMemory(t *testing.T) {
	sharesMemory(t)
	test.Bounded(t)
	r, w := rawPipe(t, sharedOptions(pageSize))
	for i := range 4 {
		test.Check(t, w.Put(t.Context(), test.Stamped(0, i, 1000)))
	}
	for _, size := range []int{500, pageSize - shortHeader, pageSize} {
		ctx, cancel := context.WithCancel(t.Context())
		put := test.Started(func() error { return w.Put(ctx, test.Stamped(0, 4, size)) })
		underWay(t, w, 1)
		cancel()
		err := <-put
		test.Is(t, err, context.Canceled)
		test.Equal(t, errors.Is(err, ErrPartial), size == pageSize)
	}
	getStamped(t, r, 0, 5)
}

// entryPassOn moves its ends on to a child of its own.
var entryPassOn = Register("pass on", func(ctx context.Context, a digestsArgs) error {
	p, err := Spawn(ctx, entryDigests, a, nil)
	if err != nil {
		return err
	}
	return p.Wait(ctx)
})

// Ends move with what is in the memory, and with what was read from it and not delivered: to a child, and from there on.
func TestSharedEndsMoveWithWhatIsUnread(t *testing.T) {
	sharesMemory(t)
	for name, e := range map[string]*Entrypoint[digestsArgs]{"a child": entryDigests, "a child's child": entryPassOn} {
		t.Run(name, func(t *testing.T) {
			ctx := test.Context(t)
			r, w := rawPipe(t, sharedOptions(1<<20))
			answers, out := pipeOf(t, &Options[string]{Shared: 1})
			const n = 100
			size := func(i int) int { return i * 997 % 30_000 }
			next := 0
			put := func() {
				test.Check(t, w.Put(ctx, numbered(next, size(next))))
				next++
			}
			for range 10 {
				put()
			}
			for i := range 3 {
				v, err := r.Get(ctx)
				test.Check(t, err)
				test.Bytes(t, v, numbered(i, size(i)))
			}
			for range 10 {
				put()
			}
			p := spawnIt(t, e, digestsArgs{r, out}, nil)
			sent := test.Started(func() error {
				for ; next < n; next++ {
					if err := w.Put(ctx, numbered(next, size(next))); err != nil {
						return err
					}
				}
				return w.Close()
			})
			for i := 3; i < n; i++ {
				test.Equal(t, get(t, ctx, answers), digest(numbered(i, size(i))))
			}
			test.Equal(t, second(answers.Get(ctx)), io.EOF)
			test.Check(t, <-sent)
			test.Check(t, p.Wait(ctx))
		})
	}
}
