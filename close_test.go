package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
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
var readingCalls = map[string]func(ctx context.Context, r *Reader[[]byte]) error{
	"Get":     func(ctx context.Context, r *Reader[[]byte]) error { _, err := r.Get(ctx); return err },
	"GetInto": func(ctx context.Context, r *Reader[[]byte]) error { var v []byte; return r.GetInto(ctx, &v) },
	"All": func(ctx context.Context, r *Reader[[]byte]) error {
		for _, err := range r.All(ctx) {
			if err != nil {
				return err
			}
		}
		return io.EOF
	},
	"Chan": func(ctx context.Context, r *Reader[[]byte]) error {
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
					r, w := s.rawChannel(t, rawOptions)
					check(t, closeReader(r, w, how))
					want := ErrClosed
					if how >= byPeer {
						want = io.EOF
					}
					for range 2 {
						checkIs(t, call(t.Context(), r), want)
					}
				})
				t.Run(name+"/during/"+closings[how], func(t *testing.T) { readDuring(t, s, call, how) })
			}
		}
	})
}

func readDuring(t *testing.T, s byteStream, call func(context.Context, *Reader[[]byte]) error, how closing) {
	r, w := s.rawChannel(t, rawOptions)
	const calls = 3
	var ended []<-chan error
	for range calls {
		ended = append(ended, started(func() error { return call(t.Context(), r) }))
	}
	eventually(t, "all are under way", func() bool { return r.in.callsIn() >= calls })
	err := closeReader(r, w, how)
	want := ErrClosed
	switch how {
	case byTryClose:
		checkIs(t, err, ErrLocked)
		check(t, w.Put(t.Context(), []byte("still works")))
		check(t, w.Close())
		want = nil // or io.EOF: only one has got the message
	case byPeer, byPeerNow:
		check(t, err)
		want = io.EOF
	default:
		check(t, err)
	}
	for _, e := range ended {
		switch err := <-e; {
		case how == byTryClose && (err == nil || err == io.EOF):
		case how == byTryClose:
			t.Fatal(err)
		default:
			checkIs(t, err, want)
		}
	}
	if want == ErrClosed {
		checkIs(t, r.Close(), ErrClosed, os.ErrClosed)
	}
}

func closeReader(r *Reader[[]byte], w *Writer[[]byte], how closing) error {
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

func closeWriter(r *Reader[[]byte], w *Writer[[]byte], how closing) error {
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

var hugeBuffer = &Options[[]byte]{Codec: Raw{}, Buffer: 40 << 20}

// writingCalls are the calls that send. With a message that the stream can't hold each blocks until all of it is read; it
// returns how that ended.
var writingCalls = map[string]struct {
	opts *Options[[]byte]
	call func(ctx context.Context, w *Writer[[]byte], message []byte) error
}{
	"Put": {rawOptions, func(ctx context.Context, w *Writer[[]byte], m []byte) error { return w.Put(ctx, m) }},
	"Flush": {hugeBuffer, func(ctx context.Context, w *Writer[[]byte], m []byte) error {
		if err := w.Put(ctx, m); err != nil {
			return err
		}
		return w.Flush(ctx)
	}},
	"Chan": {rawOptions, func(ctx context.Context, w *Writer[[]byte], m []byte) error {
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
					r, w := s.rawChannel(t, c.opts)
					check(t, closeWriter(r, w, how))
					want := ErrClosed
					if how == byPeer {
						want = ErrPeerClosed
					}
					for range 2 {
						checkIs(t, c.call(t.Context(), w, message), want)
					}
				})
				t.Run(name+"/during/"+closings[how], func(t *testing.T) {
					r, w := s.rawChannel(t, c.opts)
					ended := started(func() error { return c.call(t.Context(), w, message) })
					underWay(t, w.out, 1)
					writeDuring(t, r, w, how, ended, message, name == "Chan")
				})
			}
		}
	})
}

func writeDuring(t *testing.T, r *Reader[[]byte], w *Writer[[]byte], how closing, ended <-chan error, message []byte, viaChan bool) {
	switch how {
	case byClose:
		closed := started(w.Close)
		eventually(t, "Close has begun", func() bool {
			w.out.mu.Lock()
			defer w.out.mu.Unlock()
			return w.out.closing
		})
		checkIs(t, w.Put(t.Context(), nil), ErrClosed)
		v, err := r.Get(t.Context())
		check(t, err)
		checkBytes(t, v, message)
		if err := <-ended; err != nil { // of a native channel: Close ended it before it was closed
			checkIs(t, err, ErrClosed)
			checkEqual(t, viaChan, true)
		}
		check(t, <-closed)
		_, err = r.Get(t.Context())
		checkEqual(t, err, io.EOF)
	case byTryClose:
		checkIs(t, w.TryClose(), ErrLocked)
		v, err := r.Get(t.Context())
		check(t, err)
		checkBytes(t, v, message)
		check(t, <-ended)
		check(t, w.Flush(t.Context()))
		check(t, w.Close())
	case byCloseNow:
		check(t, w.CloseNow())
		checkIs(t, <-ended, ErrClosed, os.ErrClosed)
		_, err := r.Get(t.Context())
		if err != io.EOF { // not a byte was sent
			checkIs(t, err, io.ErrUnexpectedEOF)
		}
	case byPeer:
		check(t, r.Close())
		checkIs(t, <-ended, ErrPeerClosed)
		checkIs(t, w.Put(t.Context(), nil), ErrPeerClosed)
		if err := w.Close(); err != nil { // something queued was lost
			checkIs(t, err, ErrPeerClosed)
		}
	}
	checkIs(t, w.Close(), ErrClosed, os.ErrClosed)
	checkIs(t, w.CloseNow(), ErrClosed, os.ErrClosed)
	checkIs(t, w.TryClose(), ErrClosed, os.ErrClosed)
}

// TestCloseTable: what the Python library's users rely on, for each half of a channel.
func TestCloseTable(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		for i, step := range []func(r *Reader[[]byte], w *Writer[[]byte]) error{
			func(r *Reader[[]byte], w *Writer[[]byte]) error { // twice
				return errors.Join(r.Close(), w.Close(), wants(r.Close(), ErrClosed), wants(w.Close(), ErrClosed),
					wants(r.TryClose(), ErrClosed), wants(w.TryClose(), ErrClosed), wants(w.CloseNow(), os.ErrClosed))
			},
			func(r *Reader[[]byte], w *Writer[[]byte]) error { // put and get after close
				_, err := r.Get(t.Context())
				return errors.Join(wants(err, ErrClosed), wants(w.Put(t.Context(), nil), ErrClosed), wants(w.Flush(t.Context()), ErrClosed))
			},
			func(r *Reader[[]byte], w *Writer[[]byte]) error { // stats and names work on
				if got, want := w.String(), "Writer[[]uint8](closed)"; got != want {
					return fmt.Errorf("%s, want %s", got, want)
				}
				return wants(fmt.Errorf("%v %v %w", r.Stats(), r, io.EOF), io.EOF)
			},
		} {
			r, w := s.rawChannel(t, rawOptions)
			if i > 0 {
				check(t, r.TryClose())
				check(t, w.TryClose())
			}
			check(t, step(r, w))
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
	r, w := rawPipe(t, rawOptions)
	check(t, r.Close())
	for range 3 {
		checkIs(t, w.Put(t.Context(), []byte("nobody reads this")), ErrPeerClosed)
	}
	checkIs(t, w.Flush(t.Context()), ErrPeerClosed)
	check(t, w.Close()) // every Put has told its caller
}

// TestBufferedMessageLostIsReportedByClose: Put said nil, so Close has to say that the message didn't arrive.
func TestBufferedMessageLostIsReportedByClose(t *testing.T) {
	bounded(t)
	r, w := rawPipe(t, &Options[[]byte]{Codec: Raw{}, Buffer: 4 << 20})
	check(t, w.Put(t.Context(), pattern(1<<20)))
	check(t, r.Close())
	checkIs(t, w.Close(), ErrPeerClosed)
	checkIs(t, w.Close(), ErrClosed)
}

// TestCloseNowEndsClose: a Close that waits for a reader who doesn't read is ended by CloseNow.
func TestCloseNowEndsClose(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.rawChannel(t, hugeBuffer)
		check(t, w.Put(t.Context(), make([]byte, s.fill)))
		var closed []<-chan error
		closed = append(closed, started(w.Close))
		eventually(t, "Close has begun", func() bool {
			w.out.mu.Lock()
			defer w.out.mu.Unlock()
			return w.out.closing
		})
		checkIs(t, w.Close(), ErrClosed)
		checkIs(t, w.TryClose(), ErrClosed)
		check(t, w.CloseNow())
		for _, c := range closed {
			checkIs(t, <-c, ErrClosed)
		}
		_, err := r.Get(t.Context())
		if err != io.EOF {
			checkIs(t, err, io.ErrUnexpectedEOF)
		}
	})
}

// TestTryCloseClosesWhatIsIdle: and only that; a cancelled call or a delivered message leaves nothing behind.
func TestTryCloseClosesWhatIsIdle(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.rawChannel(t, rawOptions)
		ctx, cancel := context.WithCancel(t.Context())
		got := started(func() error { _, err := r.Get(ctx); return err })
		underWay(t, r.in, 1)
		checkIs(t, r.TryClose(), ErrLocked)
		cancel()
		checkIs(t, <-got, context.Canceled)
		put := started(func() error { return w.Put(t.Context(), []byte("x")) })
		_, err := r.Get(t.Context())
		check(t, errors.Join(err, <-put))
		check(t, w.Flush(t.Context()))
		msgs, errs := w.Chan(t.Context())
		checkIs(t, w.TryClose(), ErrLocked) // though the channel is idle
		close(msgs)
		check(t, <-errs)
		w.out.mu.Lock()
		w.out.ops++ // a Put of a crowd, while it lets others run
		w.out.mu.Unlock()
		checkIs(t, w.TryClose(), ErrLocked)
		w.out.mu.Lock()
		w.out.ops--
		w.out.mu.Unlock()
		eventually(t, "the Writer is idle", func() bool { return !errors.Is(w.TryClose(), ErrLocked) })
		check(t, r.TryClose())
		checkIs(t, w.Put(t.Context(), nil), ErrClosed)
	})
}
