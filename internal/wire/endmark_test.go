package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

var marked = &options{EndMark: true}

// TestOnlyAMarkIsTheEnd: io.EOF comes at the mark alone, wherever the stream is cut, and what follows the mark is never read.
func TestOnlyAMarkIsTheEnd(t *testing.T) {
	whole := append(appendFrame(appendFrame(nil, []byte("one")), test.Pattern(100_000)), endMark[:]...)
	for cut := range len(whole) + 1 {
		if cut > 20 && cut < len(whole)-10 {
			continue
		}
		for name, rd := range waysToRead(whole[:cut]) {
			r := newReader(rd, marked)
			var err error
			for err == nil {
				_, err = r.Get(t.Context())
			}
			want := io.ErrUnexpectedEOF
			if cut == len(whole) {
				want = io.EOF
			}
			for range 2 {
				if !errors.Is(err, want) {
					t.Fatalf("%s, cut at %d of %d: %v, want %v", name, cut, len(whole), err, want)
				}
				_, err = r.Get(t.Context())
			}
		}
	}
	r := newReader(io.NopCloser(bytes.NewReader(append(whole, appendFrame(nil, []byte("behind"))...))), marked)
	for range 2 {
		_, err := r.Get(t.Context())
		test.Check(t, err)
	}
	for range 3 {
		_, err := r.Get(t.Context())
		test.Equal(t, err, io.EOF)
	}
}

// TestMarkIsNoLengthElsewhere: without marks it is a malformed frame, as for Python.
func TestMarkIsNoLengthElsewhere(t *testing.T) {
	r := newReader(io.NopCloser(bytes.NewReader(endMark[:])), nil)
	_, err := r.Get(t.Context())
	test.Is(t, err, ErrFrame)
}

// TestEndIsReadWithoutWaitingForTheStream: io.EOF comes at the mark, though the stream stays open.
func TestEndIsReadWithoutWaitingForTheStream(t *testing.T) {
	test.Bounded(t)
	rs, ws := openPipe(t, 0)
	defer ws.Close()
	_, err := ws.Write(endMark[:])
	test.Check(t, err)
	r := newReader(rs, marked)
	_, err = r.Get(t.Context())
	test.Equal(t, err, io.EOF)
	test.Check(t, r.Close())
}

// TestHowAWriterEnds: which ways to end it say that all was sent.
func TestHowAWriterEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(w *writer) error
		want error
	}{
		"Close":          {(*writer).Close, io.EOF},
		"TryClose":       {(*writer).TryClose, io.EOF},
		"CloseNow":       {(*writer).CloseNow, io.ErrUnexpectedEOF},
		"without a mark": {func(w *writer) error { return w.out.Close(false) }, io.ErrUnexpectedEOF},
		"dropped":        {func(w *writer) error { return w.out.stream.Close() }, io.ErrUnexpectedEOF},
		"moved":          {func(w *writer) error { return moved(w) }, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			onEachStream(t, func(t *testing.T, s byteStream) {
				r, w := s.channel(t, &options{EndMark: true, Buffer: 1000})
				if name != "CloseNow" { // which may drop it
					test.Check(t, w.Put(t.Context(), []byte("sent")))
					flushed := test.Started(func() error { return w.Flush(t.Context()) })
					v, err := r.Get(t.Context())
					test.Check(t, err)
					test.Equal(t, string(v), "sent")
					test.Check(t, <-flushed)
					test.Eventually(t, "nothing is under way", func() bool { return w.Stats().Calls == 0 })
				}
				test.Check(t, c.end(w))
				_, err := r.Get(t.Context())
				test.Is(t, err, c.want)
			})
		})
	}
}

// moved ends the use of w as a move does.
func moved(w *writer) error {
	if err := w.out.BeginMove(context.Background()); err != nil {
		return err
	}
	return w.out.FinishMove(ErrMoved)
}

// TestCloseDoesNotWaitForRoomForTheMark: behind the last message there may be none, and two processes that close at once would
// wait for each other. The mark arrives when there is.
func TestCloseDoesNotWaitForRoomForTheMark(t *testing.T) {
	test.Bounded(t)
	rs, ws := openPipe(t, pageSize)
	w := newWriter(ws, marked)
	n := filled(t, w)
	test.Check(t, w.Close())
	test.Is(t, w.Close(), ErrClosed)
	r := newReader(rs, marked)
	for range n {
		_, err := r.Get(t.Context())
		test.Check(t, err)
	}
	_, err := r.Get(t.Context())
	test.Equal(t, err, io.EOF)
	test.Check(t, w.out.WaitEnd(t.Context()))
	test.Check(t, r.Close())
}

// TestCloseNowGivesUpTheMark: and then the reader knows that something is missing.
func TestCloseNowGivesUpTheMark(t *testing.T) {
	test.Bounded(t)
	rs, ws := openPipe(t, pageSize)
	w := newWriter(ws, marked)
	n := filled(t, w)
	test.Check(t, w.Close())
	test.Is(t, w.CloseNow(), ErrClosed)
	test.Check(t, w.out.WaitEnd(t.Context()))
	r := newReader(rs, marked)
	for range n {
		_, err := r.Get(t.Context())
		test.Check(t, err)
	}
	_, err := r.Get(t.Context())
	test.Is(t, err, io.ErrUnexpectedEOF)
	test.Check(t, r.Close())
}

// TestMarkNeedsNoReader: a Close of which only the mark finds no reader is a good one.
func TestMarkNeedsNoReader(t *testing.T) {
	test.Bounded(t)
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.channel(t, marked)
		test.Check(t, r.Close())
		test.Check(t, w.Close())
		test.Check(t, w.out.WaitEnd(t.Context()))
	})
}

// TestMarkMoves: a mark that was read and not passed on goes with the end, behind what was given back.
func TestMarkMoves(t *testing.T) {
	test.Bounded(t)
	rs, ws := openPipe(t, 0)
	w := newWriter(ws, marked)
	r := newReader(rs, marked)
	test.Check(t, w.Put(t.Context(), []byte("given back")))
	test.Check(t, w.Close())
	ctx, cancel := context.WithCancel(t.Context())
	_, errs := r.Chan(ctx)
	test.Eventually(t, "the channel has taken it", func() bool { return r.Stats().Messages == 1 })
	_, err := r.Get(t.Context())
	test.Equal(t, err, io.EOF)
	cancel()
	test.Is(t, <-errs, context.Canceled)
	test.Check(t, r.in.BeginMove(t.Context()))
	state := r.in.State()
	r.in.AbandonMove()
	next := &reader{in: ResumeInbound(io.NopCloser(bytes.NewReader(nil)), state)}
	v, err := next.Get(t.Context())
	test.Check(t, err)
	test.Equal(t, string(v), "given back")
	_, err = next.Get(t.Context())
	test.Equal(t, err, io.EOF)
}

// TestMessagesThatWereGivenBackKeepTheirOrder: also where one of them is given back again behind a move.
func TestMessagesThatWereGivenBackKeepTheirOrder(t *testing.T) {
	test.Bounded(t)
	rs, ws := openPipe(t, 0)
	next := &reader{in: ResumeInbound(rs, State{Options: Options{MaxMessage: 100, EndMark: true}, GivenBack: [][]byte{[]byte("one"), nil, []byte("three")}})}
	ctx, cancel := context.WithCancel(t.Context())
	_, errs := next.Chan(ctx)
	test.Eventually(t, "the channel has taken one", func() bool { return next.Stats().Messages == 1 })
	cancel()
	test.Is(t, <-errs, context.Canceled)
	for _, want := range []string{"one", "", "three"} { // a message may be empty
		v, err := next.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, string(v), want)
	}
	test.Check(t, ws.Close())
	test.Check(t, next.Close())
}

// TestMarkThatWaitedLeavesNoGoroutine: Close returns before there is room for the mark, which is written when there is.
func TestMarkThatWaitedLeavesNoGoroutine(t *testing.T) {
	test.Bounded(t)
	before := runtime.NumGoroutine()
	for range 20 {
		rs, ws := openPipe(t, 0)
		w, r := newWriter(ws, marked), newReader(rs, marked)
		ctx, cancel := context.WithCancel(t.Context())
		for message := test.Pattern(4092); ; { // until the pipe is full
			short, end := context.WithTimeout(ctx, time.Millisecond)
			err := w.Put(short, message)
			end()
			if err != nil {
				break
			}
		}
		cancel()
		test.Check(t, w.Close())
		var err error
		for err == nil {
			_, err = r.Get(t.Context())
		}
		test.Equal(t, err, io.EOF)
		test.Check(t, w.out.WaitEnd(t.Context()))
		test.Check(t, r.Close())
	}
	test.Eventually(t, "as few goroutines as before", func() bool { return runtime.NumGoroutine() <= before+2 })
}
