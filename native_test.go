package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// TestUndeliveredMessagesGoToTheNextGet: what native channels had taken from the stream and nobody received when their ctx
// ended comes back, each message once and in the stream's order, whichever channel gives its back first.
func TestUndeliveredMessagesGoToTheNextGet(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		for _, firstBack := range []int{0, 1, 2} {
			r, w := s.rawChannel(t, rawOptions)
			const chans = 3
			cancels, whys := make([]context.CancelFunc, chans), make([]<-chan error, chans)
			for i := range chans {
				ctx, cancel := context.WithCancel(t.Context())
				cancels[i] = cancel
				_, whys[i] = r.Chan(ctx)
				underWay(t, r, 2*(i+1)-i) // i of them hold a message and wait; this one waits in a Get
				test.Check(t, w.Put(t.Context(), test.Stamped(0, i, 50)))
				test.Eventually(t, "it has the message", func() bool { return r.Stats().Received == uint64(i+1) })
			}
			rest := test.Started(func() error { return errors.Join(w.Put(t.Context(), test.Stamped(0, chans, 50)), w.Close()) })
			for i := range chans {
				i = (i + firstBack) % chans
				cancels[i]()
				test.Is(t, <-whys[i], context.Canceled)
			}
			test.Equal(t, r.Stats().Received, 0)
			getStamped(t, r, 0, chans+1)
			_, err := r.Get(t.Context())
			test.Equal(t, err, io.EOF)
			test.Check(t, <-rest)
		}
	})
}

// TestGetBehindTheEndOfAChannelsCtx: it gets the message that the channel had not delivered yet, before anything else and
// before the end of the stream, though the channel's goroutine is still about to give it back.
func TestGetBehindTheEndOfAChannelsCtx(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		for range 100 {
			r, w := s.rawChannel(t, rawOptions)
			ctx, cancel := context.WithCancel(t.Context())
			r.Chan(ctx)
			test.Check(t, w.Put(t.Context(), test.Stamped(0, 0, 0)))
			test.Eventually(t, "the channel has the message", func() bool { return r.Stats().Received == 1 })
			rest := test.Started(func() error { return errors.Join(w.Put(t.Context(), test.Stamped(0, 1, 50)), w.Close()) })
			cancel()
			getStamped(t, r, 0, 2)
			_, err := r.Get(t.Context())
			test.Equal(t, err, io.EOF)
			test.Check(t, <-rest)
		}
	})
}

// TestMessageGivenBackWakesGet: a Get that waits for the stream gets a message that a native channel gives back, also in
// the middle of a large message; the memory of its caller is then no longer used for that.
func TestMessageGivenBackWakesGet(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		rs, ws := s.open(t)
		r := NewReader(rs, rawOptions)
		t.Cleanup(func() { _ = errors.Join(r.Close(), ws.Close()) })
		ctx, cancel := context.WithCancel(t.Context())
		_, why := r.Chan(ctx)
		write := func(b []byte) <-chan error {
			return test.Started(func() error { _, err := ws.Write(b); return err })
		}
		test.Check(t, <-write(appendFrame(nil, []byte("first"))))
		test.Eventually(t, "the channel has the message", func() bool { return r.Stats().Received == 1 })

		frame := appendFrame(nil, test.Pattern(300<<10))
		mine := make([]byte, 400<<10)
		v := mine
		got := test.Started(func() error { return r.GetInto(t.Context(), &v) })
		test.Check(t, <-write(frame[:150<<10]))
		cancel()
		test.Is(t, <-why, context.Canceled)
		test.Check(t, <-got)
		test.Equal(t, string(v), "first")

		clear(mine)
		rest := write(frame[150<<10:])
		large, err := r.Get(t.Context())
		test.Check(t, errors.Join(err, <-rest))
		test.Bytes(t, large, test.Pattern(300<<10))
		test.Bytes(t, mine, make([]byte, len(mine)))
	})
}

// TestValueTakenByAChannelIsSent: though the channel's ctx ends before a byte of it could be sent.
func TestValueTakenByAChannelIsSent(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		for name, wrap := range map[string]func(context.Context) context.Context{
			"cancel":  func(ctx context.Context) context.Context { return ctx },
			"own ctx": func(ctx context.Context) context.Context { return test.OwnCtx{Context: ctx} },
		} {
			t.Run(name, func(t *testing.T) {
				r, w := s.rawChannel(t, rawOptions)
				first := make([]byte, s.fill)
				put := test.Started(func() error { return w.Put(t.Context(), first) })
				underWay(t, w, 1)
				ctx, cancel := context.WithCancel(t.Context())
				msgs, errs := w.Chan(wrap(ctx))
				taken := bytes.Clone(test.Pattern(1000))
				msgs <- taken
				underWay(t, w, 2)
				cancel()
				test.Is(t, <-errs, context.Canceled)
				clear(taken) // sent is what it was
				v, err := r.Get(t.Context())
				test.Check(t, err)
				test.Equal(t, len(v), len(first))
				v, err = r.Get(t.Context())
				test.Check(t, err)
				test.Bytes(t, v, test.Pattern(1000))
				test.Check(t, <-put)
				test.Check(t, w.Close())
			})
		}
	})
}

// TestValueTakenByAChannelKeepsItsPlace: behind the Puts that were called before, though the channel's ctx ends first. Until
// it is sent it counts as queued, and Flush waits for it.
func TestValueTakenByAChannelKeepsItsPlace(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.rawChannel(t, rawOptions)
		puts := []<-chan error{test.Started(func() error { return w.Put(t.Context(), make([]byte, s.fill)) })}
		underWay(t, w, 1)
		puts = append(puts, test.Started(func() error { return w.Put(t.Context(), test.Stamped(0, 1, 100)) }))
		underWay(t, w, 2)
		ctx, cancel := context.WithCancel(t.Context())
		msgs, errs := w.Chan(ctx)
		msgs <- test.Stamped(0, 2, 100)
		underWay(t, w, 3)
		cancel()
		test.Is(t, <-errs, context.Canceled)
		test.Equal(t, w.Stats().Queued, shortHeader+100)
		flushed := test.Started(func() error { return w.Flush(t.Context()) })
		underWay(t, w, 3) // it waits, as the two Puts do
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, len(v), s.fill)
		getStamped(t, r, 1, 2)
		for _, call := range append(puts, flushed) {
			test.Check(t, <-call)
		}
		test.Equal(t, w.Stats().Queued, 0)
		test.Check(t, w.Close())
		test.Equal(t, w.Stats().Sent, 3)
	})
}

// TestChannelReportsWhyItEnded: exactly once, whatever ended it.
func TestChannelReportsWhyItEnded(t *testing.T) {
	test.Bounded(t)
	r, w := rawPipe(t, &Options[[]byte]{Codec: Raw{}, MaxMessage: 10})
	msgs, errs := w.Chan(t.Context())
	msgs <- test.Pattern(11)
	var size *TooLargeError
	if err := <-errs; !errors.As(err, &size) {
		t.Errorf("error is %v, want *TooLargeError", err)
	}
	msgs, errs = w.Chan(t.Context())
	close(msgs)
	test.Check(t, <-errs)
	in, inErrs := r.Chan(t.Context())
	test.Check(t, w.Put(t.Context(), []byte("x")))
	test.Equal(t, string(<-in), "x")
	test.Check(t, r.Close())
	for range in {
		t.Error("a message behind the end")
	}
	test.Is(t, <-inErrs, ErrClosed)
	msgs, errs = w.Chan(t.Context())
	msgs <- []byte("y")
	test.Is(t, <-errs, ErrPeerClosed)
	select {
	case err := <-errs:
		t.Errorf("a second error: %v", err)
	case err := <-inErrs:
		t.Errorf("a second error: %v", err)
	default:
	}
}

// TestChannelsServeSelect: several channels at once, as programs use them.
func TestChannelsServeSelect(t *testing.T) {
	test.Bounded(t)
	a, b, err := NewDuplex(inMemory[string](nil), inMemory[int](nil))
	test.Check(t, err)
	defer a.Close()
	echo := test.Started(func() error {
		for n, err := range b.All(t.Context()) {
			if err != nil {
				return err
			}
			if err := b.Put(t.Context(), fmt.Sprint(n)); err != nil {
				return err
			}
		}
		return b.Close()
	})
	out, sent := a.Writer().Chan(t.Context())
	in, ended := a.Reader().Chan(t.Context())
	next, received := 0, 0
	for in != nil {
		send := out
		if next == 100 {
			send = nil
		}
		select {
		case send <- next:
			if next++; next == 100 {
				close(out)
			}
		case v, more := <-in:
			if !more {
				in = nil
				break
			}
			test.Equal(t, v, fmt.Sprint(received))
			received++
		case err := <-sent:
			test.Check(t, err)
			test.Check(t, a.CloseWrite())
			sent = nil
		}
	}
	test.Check(t, <-ended)
	test.Equal(t, received, 100)
	test.Check(t, <-echo)
}

// TestGetBehindAMessageThatEndedAChannel: a message that can't be decoded is nobody's any more. A Get doesn't wait for what
// becomes of it.
func TestGetBehindAMessageThatEndedAChannel(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		rs, ws := s.open(t)
		r, w := NewReader[int](rs, nil), NewWriter(ws, rawOptions)
		closeAtEnd(t, r, w)
		ctx, cancel := context.WithCancel(t.Context())
		msgs, errs := r.Chan(ctx)
		sent := test.Started(func() error {
			return errors.Join(w.Put(t.Context(), []byte{0xff}), w.Put(t.Context(), []byte{7}))
		})
		var bad *DecodeError
		if err := <-errs; !errors.As(err, &bad) {
			t.Fatal(err)
		}
		if _, more := <-msgs; more {
			t.Error("the channel isn't closed")
		}
		cancel()
		soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		got, err := r.Get(soon)
		test.Check(t, errors.Join(err, <-sent))
		test.Equal(t, got, 7)
	})
}
