package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
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
				underWay(t, r.in, 2*(i+1)-i) // i of them hold a message and wait; this one waits in a Get
				check(t, w.Put(t.Context(), stamped(0, i, 50)))
				eventually(t, "it has the message", func() bool { return r.Stats().Received == uint64(i+1) })
			}
			rest := started(func() error { return errors.Join(w.Put(t.Context(), stamped(0, chans, 50)), w.Close()) })
			for i := range chans {
				i = (i + firstBack) % chans
				cancels[i]()
				checkIs(t, <-whys[i], context.Canceled)
			}
			checkEqual(t, r.Stats().Received, 0)
			getStamped(t, r, 0, chans+1)
			_, err := r.Get(t.Context())
			checkEqual(t, err, io.EOF)
			check(t, <-rest)
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
			check(t, w.Put(t.Context(), stamped(0, 0, 0)))
			eventually(t, "the channel has the message", func() bool { return r.Stats().Received == 1 })
			rest := started(func() error { return errors.Join(w.Put(t.Context(), stamped(0, 1, 50)), w.Close()) })
			cancel()
			getStamped(t, r, 0, 2)
			_, err := r.Get(t.Context())
			checkEqual(t, err, io.EOF)
			check(t, <-rest)
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
			return started(func() error { _, err := ws.Write(b); return err })
		}
		check(t, <-write(appendFrame(nil, []byte("first"))))
		eventually(t, "the channel has the message", func() bool { return r.Stats().Received == 1 })

		frame := appendFrame(nil, pattern(300<<10))
		mine := make([]byte, 400<<10)
		v := mine
		got := started(func() error { return r.GetInto(t.Context(), &v) })
		check(t, <-write(frame[:150<<10]))
		cancel()
		checkIs(t, <-why, context.Canceled)
		check(t, <-got)
		checkEqual(t, string(v), "first")

		clear(mine)
		rest := write(frame[150<<10:])
		large, err := r.Get(t.Context())
		check(t, errors.Join(err, <-rest))
		checkBytes(t, large, pattern(300<<10))
		checkBytes(t, mine, make([]byte, len(mine)))
	})
}

// TestValueTakenByAChannelIsSent: though the channel's ctx ends before a byte of it could be sent.
func TestValueTakenByAChannelIsSent(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		for name, wrap := range map[string]func(context.Context) context.Context{
			"cancel":  func(ctx context.Context) context.Context { return ctx },
			"own ctx": func(ctx context.Context) context.Context { return oneCtx{Context: ctx} },
		} {
			t.Run(name, func(t *testing.T) {
				r, w := s.rawChannel(t, rawOptions)
				first := make([]byte, s.fill)
				put := started(func() error { return w.Put(t.Context(), first) })
				underWay(t, w.out, 1)
				ctx, cancel := context.WithCancel(t.Context())
				msgs, errs := w.Chan(wrap(ctx))
				taken := bytes.Clone(pattern(1000))
				msgs <- taken
				underWay(t, w.out, 2)
				cancel()
				checkIs(t, <-errs, context.Canceled)
				clear(taken) // sent is what it was
				v, err := r.Get(t.Context())
				check(t, err)
				checkEqual(t, len(v), len(first))
				v, err = r.Get(t.Context())
				check(t, err)
				checkBytes(t, v, pattern(1000))
				check(t, <-put)
				check(t, w.Close())
			})
		}
	})
}

// TestValueTakenByAChannelKeepsItsPlace: behind the Puts that were called before, though the channel's ctx ends first. Until
// it is sent it counts as queued, and Flush waits for it.
func TestValueTakenByAChannelKeepsItsPlace(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.rawChannel(t, rawOptions)
		puts := []<-chan error{started(func() error { return w.Put(t.Context(), make([]byte, s.fill)) })}
		underWay(t, w.out, 1)
		puts = append(puts, started(func() error { return w.Put(t.Context(), stamped(0, 1, 100)) }))
		underWay(t, w.out, 2)
		ctx, cancel := context.WithCancel(t.Context())
		msgs, errs := w.Chan(ctx)
		msgs <- stamped(0, 2, 100)
		underWay(t, w.out, 3)
		cancel()
		checkIs(t, <-errs, context.Canceled)
		checkEqual(t, w.Stats().Queued, shortHeader+100)
		flushed := started(func() error { return w.Flush(t.Context()) })
		underWay(t, w.out, 3) // it waits, as the two Puts do
		v, err := r.Get(t.Context())
		check(t, err)
		checkEqual(t, len(v), s.fill)
		getStamped(t, r, 1, 2)
		for _, call := range append(puts, flushed) {
			check(t, <-call)
		}
		checkEqual(t, w.Stats().Queued, 0)
		check(t, w.Close())
		checkEqual(t, w.Stats().Sent, 3)
	})
}

// TestPutStaysBehindAValueThatAChannelHadTaken: also while a Put of a crowd, which this test only pretends, has yet to look
// after the line.
func TestPutStaysBehindAValueThatAChannelHadTaken(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.rawChannel(t, rawOptions)
		setYielding := func(n int) {
			w.out.mu.Lock()
			defer w.out.mu.Unlock()
			w.out.yielding = n
		}
		setYielding(1)
		first := started(func() error { return w.Put(t.Context(), make([]byte, s.fill)) })
		underWay(t, w.out, 1)
		ctx, cancel := context.WithCancel(t.Context())
		msgs, errs := w.Chan(ctx)
		msgs <- stamped(0, 0, 50)
		underWay(t, w.out, 2)
		cancel()
		checkIs(t, <-errs, context.Canceled)
		v, err := r.Get(t.Context())
		check(t, err)
		checkEqual(t, len(v), s.fill)
		check(t, <-first)
		second := started(func() error { return w.Put(t.Context(), stamped(0, 1, 50)) })
		getStamped(t, r, 0, 2)
		check(t, <-second)
		setYielding(0)
		check(t, w.Close())
	})
}

// TestFlushWaitsForAValueThatAChannelHadTaken: though it moves from the line into the buffer meanwhile.
func TestFlushWaitsForAValueThatAChannelHadTaken(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.rawChannel(t, &Options[[]byte]{Codec: Raw{}, Buffer: 1000})
		put := started(func() error { return w.Put(t.Context(), make([]byte, s.fill)) })
		eventually(t, "it is being written", func() bool {
			w.out.mu.Lock()
			defer w.out.mu.Unlock()
			return w.out.writing && len(w.out.line) == 0
		})
		check(t, w.Put(t.Context(), stamped(0, 1, 900)))
		ctx, cancel := context.WithCancel(t.Context())
		msgs, errs := w.Chan(ctx)
		msgs <- stamped(0, 2, 200) // there is no room for it
		underWay(t, w.out, 2)
		cancel()
		checkIs(t, <-errs, context.Canceled)
		flushed := started(func() error { return w.Flush(t.Context()) })
		underWay(t, w.out, 2)
		v, err := r.Get(t.Context())
		check(t, err)
		checkEqual(t, len(v), s.fill)
		getStamped(t, r, 1, 2)
		check(t, <-put)
		check(t, <-flushed)
		checkEqual(t, w.Stats().Queued, 0)
		check(t, w.Close())
	})
}

// TestChannelReportsWhyItEnded: exactly once, whatever ended it.
func TestChannelReportsWhyItEnded(t *testing.T) {
	bounded(t)
	r, w := rawPipe(t, &Options[[]byte]{Codec: Raw{}, MaxMessage: 10})
	msgs, errs := w.Chan(t.Context())
	msgs <- pattern(11)
	var size *TooLargeError
	if err := <-errs; !errors.As(err, &size) {
		t.Errorf("error is %v, want *TooLargeError", err)
	}
	msgs, errs = w.Chan(t.Context())
	close(msgs)
	check(t, <-errs)
	in, inErrs := r.Chan(t.Context())
	check(t, w.Put(t.Context(), []byte("x")))
	checkEqual(t, string(<-in), "x")
	check(t, r.Close())
	for range in {
		t.Error("a message behind the end")
	}
	checkIs(t, <-inErrs, ErrClosed)
	msgs, errs = w.Chan(t.Context())
	msgs <- []byte("y")
	checkIs(t, <-errs, ErrPeerClosed)
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
	bounded(t)
	a, b, err := NewDuplex[string, int](nil, nil)
	check(t, err)
	defer a.Close()
	echo := started(func() error {
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
			checkEqual(t, v, fmt.Sprint(received))
			received++
		case err := <-sent:
			check(t, err)
			check(t, a.CloseWrite())
			sent = nil
		}
	}
	check(t, <-ended)
	checkEqual(t, received, 100)
	check(t, <-echo)
}
