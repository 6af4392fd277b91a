package gipcnats

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

func writerOf(t testing.TB, url string, opts *ChannelOptions[deed]) *Writer[deed] {
	t.Helper()
	w, err := NewWriter(test.Context(t), connect(t, url), "a name", opts)
	test.Check(t, err)
	return w
}

func readerOf(t testing.TB, url string, opts *ChannelOptions[deed]) *Reader[deed] {
	t.Helper()
	r, err := NewReader(test.Context(t), connect(t, url), "a name", opts)
	test.Check(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestChannel(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	w, r := writerOf(t, url, nil), readerOf(t, url, nil)
	put := test.Started(func() error {
		for i := range 500 {
			if err := w.Put(ctx, deed{N: i}); err != nil {
				return err
			}
		}
		return w.Close(ctx)
	})
	n := 0
	for v, err := range r.All(ctx) {
		test.Check(t, err)
		test.Equal(t, v.N, n)
		n++
	}
	test.Check(t, <-put)
	test.Equal(t, n, 500)
	_, err := r.Get(ctx)
	test.Equal(t, err, io.EOF)
	_, err = readerOf(t, url, nil).Get(ctx) // the end stays
	test.Equal(t, err, io.EOF)
	test.Is(t, w.Put(ctx, deed{}), gipc.ErrClosed)
	test.Is(t, w.Close(ctx), gipc.ErrClosed)
	late := writerOf(t, url, nil)
	test.Is(t, late.Put(ctx, deed{}), gipc.ErrClosed) // the server knows
	test.Check(t, late.Close(ctx))
}

// GetInto leaves nothing of the message before, and uses its memory.
func TestGetInto(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	w, r := writerOf(t, url, nil), readerOf(t, url, nil)
	test.Check(t, w.Put(ctx, deed{N: 1, Do: "first", Data: []byte("four")}))
	test.Check(t, w.Put(ctx, deed{N: 2, Data: []byte("3..")}))
	test.Check(t, w.Close(ctx))
	var v deed
	test.Check(t, r.GetInto(ctx, &v))
	test.Equal(t, v.Do+string(v.Data), "firstfour")
	test.Check(t, r.GetInto(ctx, &v))
	test.Equal(t, v.Do+string(v.Data), "3..")
	test.Equal(t, v.N, 2)
	test.Equal(t, r.GetInto(ctx, &v), io.EOF)

	raw := &ChannelOptions[[]byte]{Codec: gipc.Raw{}}
	rawWriter, err := NewWriter(ctx, connect(t, url), "raw", raw)
	test.Check(t, err)
	rawReader, err := NewReader(ctx, connect(t, url), "raw", raw)
	test.Check(t, err)
	t.Cleanup(func() { _ = rawReader.Close() })
	test.Check(t, rawWriter.Put(ctx, []byte("bytes")))
	memory := make([]byte, 8)
	into := memory
	test.Check(t, rawReader.GetInto(ctx, &into))
	test.Equal(t, string(into), "bytes")
	test.Equal(t, &into[0], &memory[0])
}

// Several Readers share the messages, and each gets the end.
func TestReadersShare(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	const readers, total = 3, 300
	got := make(chan int, total)
	var ended []<-chan error
	for range readers {
		r := readerOf(t, url, &ChannelOptions[deed]{Ahead: 8})
		ended = append(ended, test.Started(func() error {
			for v, err := range r.All(ctx) {
				if err != nil {
					return err
				}
				got <- v.N
			}
			return nil
		}))
	}
	w := writerOf(t, url, nil)
	for i := range total {
		test.Check(t, w.Put(ctx, deed{N: i}))
	}
	test.Check(t, w.Close(ctx))
	for _, e := range ended {
		test.Check(t, <-e)
	}
	seen := map[int]bool{}
	for range total {
		seen[<-got] = true
	}
	test.Equal(t, len(seen), total)
	test.Equal(t, len(got), 0)
}

// readThere reads one message, tells that it has, and is killed before it acknowledges it.
var readThere = gipc.Register("gipcnats test read", func(ctx context.Context, a struct {
	URL string
	Got *gipc.Writer[deed]
},
) error {
	nc, err := dial(a.URL)
	if err != nil {
		return err
	}
	r, err := NewReader(ctx, nc, "a name", &ChannelOptions[deed]{AckWait: time.Second})
	if err != nil {
		return err
	}
	v, err := r.Get(ctx)
	if err != nil {
		return err
	}
	if err := a.Got.Put(ctx, v); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
})

// What a killed Reader had is delivered again, and the end is not the end before that.
func TestKilledReader(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := &ChannelOptions[deed]{AckWait: time.Second}
	w := writerOf(t, url, o)
	for i := range 3 {
		test.Check(t, w.Put(ctx, deed{N: i}))
	}
	test.Check(t, w.Close(ctx))
	told, got, err := gipc.Pipe[deed](nil)
	test.Check(t, err)
	p, err := gipc.Spawn(ctx, readThere, struct {
		URL string
		Got *gipc.Writer[deed]
	}{url, got}, nil)
	test.Check(t, err)
	_, err = told.Get(ctx)
	test.Check(t, err)
	r := readerOf(t, url, o)
	seen := test.Started(func() map[int]bool {
		seen := map[int]bool{}
		for v, err := range r.All(ctx) {
			test.Check(t, err)
			seen[v.N] = true
		}
		return seen
	})
	select {
	case <-seen:
		t.Fatal("the end came before what another Reader holds")
	case <-time.After(3 * time.Second): // longer than AckWait: the living Reader keeps its messages
	}
	test.Check(t, p.Kill())
	test.Equal(t, len(<-seen), 3)
}

// A full channel makes Put wait, and loses nothing.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := &ChannelOptions[deed]{MaxMessages: 4, Ahead: 1}
	w := writerOf(t, url, o)
	for i := range 4 {
		test.Check(t, w.Put(ctx, deed{N: i}))
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	test.Is(t, w.Put(short, deed{N: 99}), context.DeadlineExceeded)
	put := test.Started(func() error {
		for i := 4; i < 50; i++ {
			if err := w.Put(ctx, deed{N: i}); err != nil {
				return err
			}
		}
		return w.Close(ctx)
	})
	n := 0
	for v, err := range readerOf(t, url, o).All(ctx) { // slower than its Writer
		test.Check(t, err)
		test.Equal(t, v.N, n)
		n++
	}
	test.Check(t, <-put)
	test.Equal(t, n, 50)
}

// A server that stops in the middle costs time only.
func TestChannelBehindARestart(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	server := startServer(t)
	w, r := writerOf(t, server.url(), nil), readerOf(t, server.url(), &ChannelOptions[deed]{AckWait: 2 * time.Second})
	put := test.Started(func() error {
		for i := range 400 {
			if i == 200 {
				server.stop()
				server.start()
			}
			if err := w.Put(ctx, deed{N: i}); err != nil {
				return err
			}
		}
		return w.Close(ctx)
	})
	seen := map[int]bool{}
	for v, err := range r.All(ctx) {
		test.Check(t, err)
		seen[v.N] = true
	}
	test.Check(t, <-put)
	test.Equal(t, len(seen), 400)
}

// mute puts somebody in the place of the channel's stream who takes messages and never answers.
func mute(t testing.TB, w *Writer[deed]) {
	t.Helper()
	c := w.channel
	test.Check(t, c.js.DeleteStream(t.Context(), c.streamName()))
	_, err := c.nc.Subscribe(c.subjectOf(">"), func(*nats.Msg) {})
	test.Check(t, err)
	test.Check(t, c.nc.Flush())
}

// Of a message that was sent and not answered nobody knows what became.
func TestUncertainPut(t *testing.T) {
	t.Parallel()
	w := writerOf(t, startServer(t).url(), nil)
	mute(t, w)
	ctx, cancel := context.WithTimeout(test.Context(t), 200*time.Millisecond)
	defer cancel()
	test.Is(t, w.Put(ctx, deed{}), context.DeadlineExceeded, ErrUncertain)
}

func TestReaderCloses(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	w, r := writerOf(t, url, nil), readerOf(t, url, nil)
	blocked := test.Started(func() error { _, err := r.Get(ctx); return err })
	test.Check(t, r.Close())
	test.Is(t, <-blocked, gipc.ErrClosed)
	test.Is(t, r.Close(), gipc.ErrClosed)
	_, err := r.Get(ctx)
	test.Is(t, err, gipc.ErrClosed)

	test.Check(t, w.Put(ctx, deed{N: 7}))
	first := readerOf(t, url, nil)
	_, err = first.Get(ctx)
	test.Check(t, err)
	test.Check(t, first.Close()) // and what it has not acknowledged goes to the next one
	v, err := readerOf(t, url, nil).Get(ctx)
	test.Check(t, err)
	test.Equal(t, v.N, 7)
}

func TestMessageThatWillNotDecode(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	other, err := NewWriter[string](ctx, connect(t, url), "a name", nil)
	test.Check(t, err)
	test.Check(t, other.Put(ctx, "no deed"))
	w, r := writerOf(t, url, nil), readerOf(t, url, nil)
	test.Check(t, w.Put(ctx, deed{N: 7}))
	_, err = r.Get(ctx)
	var decode *gipc.DecodeError
	if !errors.As(err, &decode) {
		t.Fatalf("got %v", err)
	}
	v, err := r.Get(ctx)
	test.Check(t, err)
	test.Equal(t, v.N, 7)
	test.Check(t, r.Ack())
}

// large is a value above the server's limit of a message, whose bytes differ.
func large(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	w, r := writerOf(t, url, nil), readerOf(t, url, nil)
	data := large(5 << 20)
	test.Check(t, w.Put(ctx, deed{Data: data}))
	test.Check(t, w.Close(ctx))
	n := 0
	for v, err := range r.All(ctx) {
		test.Check(t, err)
		if !bytes.Equal(v.Data, data) {
			t.Error("other bytes came out")
		}
		n++
	}
	test.Equal(t, n, 1)
	test.Check(t, r.Close())
	test.Equal(t, objects(t, r.channel.broker), 0)
	test.Check(t, r.Remove(ctx))
}
