package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// reader and writer are ends whose values are the payloads, as users of this package build them.
type (
	reader struct {
		in     *Inbound
		copied bool
	}
	writer struct {
		out    *Outbound
		copied bool
	}
)

type options struct {
	MaxMessage, Buffer int
	EndMark            bool
	Copied             bool // payloads are copied on both sides, as if a codec did it
}

const defaultMaxMessage = 1 << 30

func resolve(opts *options) options {
	var o options
	if opts != nil {
		o = *opts
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = defaultMaxMessage
	}
	return o
}

func newReader(r io.ReadCloser, opts *options) *reader {
	o := resolve(opts)
	return &reader{newInbound(r, Options{MaxMessage: o.MaxMessage, EndMark: o.EndMark}), o.Copied}
}

func newWriter(w io.WriteCloser, opts *options) *writer {
	o := resolve(opts)
	return &writer{newOutbound(w, Options{MaxMessage: o.MaxMessage, Buffer: o.Buffer, EndMark: o.EndMark}), o.Copied}
}

func (r *reader) Get(ctx context.Context) ([]byte, error) {
	var v []byte
	err := r.GetInto(ctx, &v)
	return v, err
}

func (r *reader) GetInto(ctx context.Context, v *[]byte) error {
	if !r.copied {
		return r.in.NextInto(ctx, v)
	}
	payload, err := r.in.Next(ctx)
	if err != nil {
		return err
	}
	defer r.in.Done(len(payload))
	if *v == nil {
		*v = []byte{}
	}
	*v = append((*v)[:0], payload...)
	return nil
}

func (r *reader) All(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			v, err := r.Get(ctx)
			if err == io.EOF || !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Chan offers copies of the messages.
func (r *reader) Chan(ctx context.Context) (<-chan []byte, <-chan error) {
	msgs, why := make(chan []byte), make(chan error, 1)
	go func() {
		err := r.offer(ctx, msgs)
		if err == io.EOF {
			err = nil
		}
		why <- err
		close(msgs)
	}()
	return msgs, why
}

func (r *reader) offer(ctx context.Context, to chan<- []byte) error {
	offers, err := r.in.Offer(ctx)
	if err != nil {
		return err
	}
	defer offers.Quit()
	for {
		payload, err := r.in.Next(ctx)
		if err != nil {
			return err
		}
		offers.Begin(payload)
		v := append([]byte{}, payload...)
		r.in.Done(len(payload))
		select {
		case to <- v:
			offers.Accepted()
		case <-ctx.Done():
			offers.GiveBack()
			return ctx.Err()
		case <-offers.Gone():
			offers.Accepted()
			return r.in.Err()
		}
	}
}

func (r *reader) Close() error     { return r.in.Close() }
func (r *reader) TryClose() error  { return r.in.TryClose() }
func (r *reader) Stats() ReadStats { return r.in.Stats() }

func (w *writer) Put(ctx context.Context, v []byte) error { return w.put(ctx, v, false) }

func (w *writer) put(ctx context.Context, v []byte, fed bool) error {
	if !w.copied && !fed && w.out.TrySend(ctx, v) {
		return nil
	}
	f := NewFrame()
	defer f.Free()
	f.Fed = fed
	if w.copied {
		f.Appended(append(f.Room(), v...))
	} else {
		f.SetPayload(v, w.out.CopyLimit())
	}
	return w.out.Send(ctx, f)
}

func (w *writer) Chan(ctx context.Context) (chan<- []byte, <-chan error) {
	msgs, why := make(chan []byte), make(chan error, 1)
	stop, err := w.out.BeginFeed(ctx)
	if err != nil {
		why <- err
		return msgs, why
	}
	go func() {
		err := w.feed(ctx, msgs, stop)
		w.out.EndFeed()
		why <- err
	}()
	return msgs, why
}

func (w *writer) feed(ctx context.Context, from <-chan []byte, stop <-chan struct{}) error {
	for {
		select {
		case v, more := <-from:
			if !more {
				return w.out.WaitSent(ctx)
			}
			if err := w.put(ctx, v, true); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			return w.out.Ending()
		}
	}
}

func (w *writer) Flush(ctx context.Context) error { return w.out.Flush(ctx) }
func (w *writer) Close() error                    { return w.out.Close(true) }
func (w *writer) CloseNow() error                 { return w.out.CloseNow() }
func (w *writer) TryClose() error                 { return w.out.TryClose(true) }
func (w *writer) Stats() WriteStats               { return w.out.Stats() }

// byteStream is a kind of stream that channels run over.
type byteStream struct {
	name string
	fill int // bytes, more than it holds while nobody reads
	open func(t testing.TB) (io.ReadCloser, io.WriteCloser)
}

var byteStreams = append([]byteStream{
	{"os.Pipe", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return openPipe(t, 0) }},
	{"os.Pipe of a page", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return openPipe(t, pageSize) }},
	{"io.Pipe", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return io.Pipe() }},
	{"net.Pipe", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return net.Pipe() }},
	{"tcp", 32 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return test.Connected(t, "tcp", "127.0.0.1:0") }},
	{"unix", 2 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		test.SkipUnderWine(t, "it has no AF_UNIX sockets")
		return test.Connected(t, "unix", filepath.Join(t.TempDir(), "s"))
	}},
}, ringStreams()...)

const pageSize = 4096

func openPipe(t testing.TB, size int) (fd.End, fd.End) {
	r, w, err := fd.NewPipe(size)
	test.Check(t, err)
	return r, w
}

// channel returns a channel of bytes over a stream, closed with the test.
func (s byteStream) channel(t testing.TB, opts *options) (*reader, *writer) {
	rs, ws := s.open(t)
	r, w := newReader(rs, opts), newWriter(ws, opts)
	closeAtEnd(t, r, w)
	return r, w
}

// pipe returns a channel of bytes over a pipe, closed with the test.
func pipe(t testing.TB, opts *options) (*reader, *writer) { return byteStreams[0].channel(t, opts) }

func closeAtEnd(t testing.TB, r *reader, w *writer) {
	t.Cleanup(func() {
		_ = w.CloseNow() // the test may have closed either
		_ = r.Close()
	})
}

// onEachStream runs f over every kind of stream.
func onEachStream(t *testing.T, f func(t *testing.T, s byteStream)) {
	for _, s := range byteStreams {
		t.Run(s.name, func(t *testing.T) {
			test.Bounded(t)
			f(t, s)
		})
	}
}

// callsIn is how many calls are under way on an end.
func (in *Inbound) callsIn() int { return in.Stats().Calls }

func (out *Outbound) callsIn() int { return out.Stats().Calls }

// underWay waits until n calls are under way on an end.
func underWay(t testing.TB, end interface{ callsIn() int }, n int) {
	t.Helper()
	test.Eventually(t, fmt.Sprintf("%d calls under way", n), func() bool { return end.callsIn() == n })
}

// fillSize is the size of messages that fill a pipe to its last byte: it takes each of their frames whole or not at all.
const fillSize = pageSize - shortHeader

// filled puts messages of fillSize until the pipe takes no more, and returns how many are in it.
func filled(t testing.TB, w *writer) (messages int) {
	t.Helper()
	for wait := 5 * time.Millisecond; wait < 300*time.Millisecond; {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		err := w.Put(ctx, test.Pattern(fillSize))
		cancel()
		if err == nil || errors.Is(err, ErrPartial) { // Windows may write a frame in two pieces
			messages++
			continue
		}
		test.Is(t, err, context.DeadlineExceeded)
		wait *= 8 // it may have been a slow machine
	}
	return messages
}
