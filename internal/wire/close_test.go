package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// A closing is a way that one of the two ends goes away. All but the peer's are calls on the end under test.
type closing int

const (
	byClose closing = iota
	byCloseNow
	byTryClose
	byPeer
	byPeerNow // the peer's CloseNow, where it is a Writer
)

var closings = map[closing]string{
	byClose: "Close", byCloseNow: "CloseNow", byTryClose: "TryClose", byPeer: "peer closed", byPeerNow: "peer CloseNow",
}

// readingCalls are the calls that receive; each returns how it ended.
var readingCalls = map[string]func(ctx context.Context, r *reader) error{
	"Get":     func(ctx context.Context, r *reader) error { _, err := r.Get(ctx); return err },
	"GetInto": func(ctx context.Context, r *reader) error { var v []byte; return r.GetInto(ctx, &v) },
	"All": func(ctx context.Context, r *reader) error {
		for _, err := range r.All(ctx) {
			if err != nil {
				return err
			}
		}
		return io.EOF
	},
	"Chan": func(ctx context.Context, r *reader) error {
		msgs, errs := r.Chan(ctx)
		for range msgs {
		}
		if err := <-errs; err != nil {
			return err
		}
		return io.EOF
	},
}

// TestReadingCallsEndWithTheirEnd: {before, during} × {Get, GetInto, All, Chan} × {Close, TryClose, peer closed}.
func TestReadingCallsEndWithTheirEnd(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		for name, call := range readingCalls {
			for _, how := range []closing{byClose, byTryClose, byPeer, byPeerNow} {
				t.Run(name+"/before/"+closings[how], func(t *testing.T) {
					r, w := s.channel(t, nil)
					test.Check(t, closeReader(r, w, how))
					want := ErrClosed
					if how >= byPeer {
						want = io.EOF
					}
					for range 2 {
						test.Is(t, call(t.Context(), r), want)
					}
				})
				t.Run(name+"/during/"+closings[how], func(t *testing.T) { readDuring(t, s, call, how) })
			}
		}
	})
}

func readDuring(t *testing.T, s byteStream, call func(context.Context, *reader) error, how closing) {
	r, w := s.channel(t, nil)
	const calls = 3
	var ended []<-chan error
	for range calls {
		ended = append(ended, test.Started(func() error { return call(t.Context(), r) }))
	}
	test.Eventually(t, "all are under way", func() bool { return r.in.callsIn() >= calls })
	err := closeReader(r, w, how)
	want := ErrClosed
	switch how {
	case byTryClose:
		test.Is(t, err, ErrLocked)
		test.Check(t, w.Put(t.Context(), []byte("still works")))
		test.Check(t, w.Close())
		want = nil // or io.EOF: only one has got the message
	case byPeer, byPeerNow:
		test.Check(t, err)
		want = io.EOF
	default:
		test.Check(t, err)
	}
	for _, e := range ended {
		switch err := <-e; {
		case how == byTryClose && (err == nil || err == io.EOF):
		case how == byTryClose:
			t.Fatal(err)
		default:
			test.Is(t, err, want)
		}
	}
	if want == ErrClosed {
		test.Is(t, r.Close(), ErrClosed, os.ErrClosed)
	}
}

func closeReader(r *reader, w *writer, how closing) error {
	switch how {
	case byTryClose:
		return r.TryClose()
	case byPeer:
		return w.Close()
	case byPeerNow:
		return w.CloseNow()
	}
	return r.Close()
}

func closeWriter(r *reader, w *writer, how closing) error {
	switch how {
	case byCloseNow:
		return w.CloseNow()
	case byTryClose:
		return w.TryClose()
	case byPeer:
		return r.Close()
	}
	return w.Close()
}

var hugeBuffer = &options{Buffer: 40 << 20}

// writingCalls are the calls that send. With a message that the stream can't hold each blocks until all of it is read; it
// returns how that ended.
var writingCalls = map[string]struct {
	opts *options
	call func(ctx context.Context, w *writer, message []byte) error
}{
	"Put": {nil, func(ctx context.Context, w *writer, m []byte) error { return w.Put(ctx, m) }},
	"Flush": {hugeBuffer, func(ctx context.Context, w *writer, m []byte) error {
		if err := w.Put(ctx, m); err != nil {
			return err
		}
		return w.Flush(ctx)
	}},
	"Chan": {nil, func(ctx context.Context, w *writer, m []byte) error {
		msgs, errs := w.Chan(ctx)
		select {
		case msgs <- m:
			close(msgs)
		case err := <-errs:
			return err
		}
		return <-errs
	}},
}

// TestWritingCallsEndWithTheirEnd: {before, during} × {Put, Flush, Chan} × {Close, CloseNow, TryClose, peer closed}.
func TestWritingCallsEndWithTheirEnd(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		message := make([]byte, s.fill)
		for name, c := range writingCalls {
			for _, how := range []closing{byClose, byCloseNow, byTryClose, byPeer} {
				t.Run(name+"/before/"+closings[how], func(t *testing.T) {
					r, w := s.channel(t, c.opts)
					test.Check(t, closeWriter(r, w, how))
					want := ErrClosed
					if how == byPeer {
						want = ErrPeerClosed
					}
					for range 2 {
						test.Is(t, c.call(t.Context(), w, message), want)
					}
				})
				t.Run(name+"/during/"+closings[how], func(t *testing.T) {
					r, w := s.channel(t, c.opts)
					ended := test.Started(func() error { return c.call(t.Context(), w, message) })
					underWay(t, w.out, 1)
					writeDuring(t, r, w, how, ended, message, name == "Chan")
				})
			}
		}
	})
}

func writeDuring(t *testing.T, r *reader, w *writer, how closing, ended <-chan error, message []byte, viaChan bool) {
	switch how {
	case byClose:
		closed := test.Started(w.Close)
		test.Eventually(t, "Close has begun", func() bool {
			w.out.mu.Lock()
			defer w.out.mu.Unlock()
			return w.out.closing
		})
		test.Is(t, w.Put(t.Context(), nil), ErrClosed)
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Bytes(t, v, message)
		if err := <-ended; err != nil { // of a native channel: Close ended it before it was closed
			test.Is(t, err, ErrClosed)
			test.Equal(t, viaChan, true)
		}
		test.Check(t, <-closed)
		_, err = r.Get(t.Context())
		test.Equal(t, err, io.EOF)
	case byTryClose:
		test.Is(t, w.TryClose(), ErrLocked)
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Bytes(t, v, message)
		test.Check(t, <-ended)
		test.Check(t, w.Flush(t.Context()))
		test.Check(t, w.Close())
	case byCloseNow:
		test.Check(t, w.CloseNow())
		test.Is(t, <-ended, ErrClosed, os.ErrClosed)
		_, err := r.Get(t.Context())
		if err != io.EOF { // not a byte was sent
			test.Is(t, err, io.ErrUnexpectedEOF)
		}
	case byPeer:
		test.Check(t, r.Close())
		test.Is(t, <-ended, ErrPeerClosed)
		test.Is(t, w.Put(t.Context(), nil), ErrPeerClosed)
		if err := w.Close(); err != nil { // something queued was lost
			test.Is(t, err, ErrPeerClosed)
		}
	}
	test.Is(t, w.Close(), ErrClosed, os.ErrClosed)
	test.Is(t, w.CloseNow(), ErrClosed, os.ErrClosed)
	test.Is(t, w.TryClose(), ErrClosed, os.ErrClosed)
}

// TestCloseTable: what the Python library's users rely on, for each half of a channel.
func TestCloseTable(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		for i, step := range []func(r *reader, w *writer) error{
			func(r *reader, w *writer) error { // twice
				return errors.Join(r.Close(), w.Close(), wants(r.Close(), ErrClosed), wants(w.Close(), ErrClosed),
					wants(r.TryClose(), ErrClosed), wants(w.TryClose(), ErrClosed), wants(w.CloseNow(), os.ErrClosed))
			},
			func(r *reader, w *writer) error { // put and get after close
				_, err := r.Get(t.Context())
				return errors.Join(wants(err, ErrClosed), wants(w.Put(t.Context(), nil), ErrClosed), wants(w.Flush(t.Context()), ErrClosed))
			},
			func(r *reader, w *writer) error { // stats work on
				return wants(fmt.Errorf("%v %v %w", r.Stats(), w.Stats(), io.EOF), io.EOF)
			},
		} {
			r, w := s.channel(t, nil)
			if i > 0 {
				test.Check(t, r.TryClose())
				test.Check(t, w.TryClose())
			}
			test.Check(t, step(r, w))
		}
	})
}

func wants(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("error is %v, want %v", err, want)
}

// TestWriteToClosedReader: an error value, at once where nothing is buffered, and the same for ever.
func TestWriteToClosedReader(t *testing.T) {
	r, w := pipe(t, nil)
	test.Check(t, r.Close())
	for range 3 {
		test.Is(t, w.Put(t.Context(), []byte("nobody reads this")), ErrPeerClosed)
	}
	test.Is(t, w.Flush(t.Context()), ErrPeerClosed)
	test.Check(t, w.Close()) // every Put has told its caller
}

// TestBufferedMessageLostIsReportedByClose: Put said nil, so Close has to say that the message didn't arrive.
func TestBufferedMessageLostIsReportedByClose(t *testing.T) {
	test.Bounded(t)
	r, w := pipe(t, &options{Buffer: 4 << 20})
	test.Check(t, w.Put(t.Context(), test.Pattern(1<<20)))
	test.Check(t, r.Close())
	test.Is(t, w.Close(), ErrPeerClosed)
	test.Is(t, w.Close(), ErrClosed)
}

// TestCloseNowEndsClose: a Close that waits for a reader who doesn't read is ended by CloseNow.
func TestCloseNowEndsClose(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, hugeBuffer)
		test.Check(t, w.Put(t.Context(), make([]byte, s.fill)))
		var closed []<-chan error
		closed = append(closed, test.Started(w.Close))
		test.Eventually(t, "Close has begun", func() bool {
			w.out.mu.Lock()
			defer w.out.mu.Unlock()
			return w.out.closing
		})
		test.Is(t, w.Close(), ErrClosed)
		test.Is(t, w.TryClose(), ErrClosed)
		test.Check(t, w.CloseNow())
		for _, c := range closed {
			test.Is(t, <-c, ErrClosed)
		}
		_, err := r.Get(t.Context())
		if err != io.EOF {
			test.Is(t, err, io.ErrUnexpectedEOF)
		}
	})
}

// TestTryCloseClosesWhatIsIdle: and only that; a cancelled call or a delivered message leaves nothing behind.
func TestTryCloseClosesWhatIsIdle(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		got := test.Started(func() error { _, err := r.Get(ctx); return err })
		underWay(t, r.in, 1)
		test.Is(t, r.TryClose(), ErrLocked)
		cancel()
		test.Is(t, <-got, context.Canceled)
		put := test.Started(func() error { return w.Put(t.Context(), []byte("x")) })
		_, err := r.Get(t.Context())
		test.Check(t, errors.Join(err, <-put))
		test.Check(t, w.Flush(t.Context()))
		msgs, errs := w.Chan(t.Context())
		test.Is(t, w.TryClose(), ErrLocked) // though the channel is idle
		close(msgs)
		test.Check(t, <-errs)
		w.out.mu.Lock()
		w.out.ops++ // a Put of a crowd, while it lets others run
		w.out.mu.Unlock()
		test.Is(t, w.TryClose(), ErrLocked)
		w.out.mu.Lock()
		w.out.ops--
		w.out.mu.Unlock()
		test.Eventually(t, "the Writer is idle", func() bool { return !errors.Is(w.TryClose(), ErrLocked) })
		test.Check(t, r.TryClose())
		test.Is(t, w.Put(t.Context(), nil), ErrClosed)
	})
}
