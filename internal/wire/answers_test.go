package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// A message that is offered when the offer's ctx ends is either accepted or the next one again. A Get waits for that.
func TestGetWaitsForTheAnswerToAnOffer(t *testing.T) {
	test.Bounded(t)
	for _, accepted := range []bool{true, false} {
		r, w := pipe(t, nil)
		for _, text := range []string{"first", "second"} {
			test.Check(t, w.Put(t.Context(), []byte(text)))
		}
		ctx, cancel := context.WithCancel(t.Context())
		offers, err := r.in.Offer(ctx)
		test.Check(t, err)
		payload, err := r.in.Next(t.Context())
		test.Check(t, err)
		offers.Begin(payload)
		r.in.Done(len(payload))
		cancel()
		got := test.Started(func() string {
			v, err := r.Get(t.Context())
			return fmt.Sprint(string(v), err)
		})
		test.Eventually(t, "Get waits", func() bool {
			r.in.mu.Lock()
			defer r.in.mu.Unlock()
			return r.in.answered != nil
		})
		want := "second<nil>"
		if accepted {
			offers.Accepted()
		} else {
			offers.GiveBack()
			want = "first<nil>"
		}
		test.Equal(t, <-got, want)
		offers.Quit()
		test.Equal(t, r.Stats().Calls, 0)
	}
}

// While it moves, and only then, an end may stand in the arguments of Spawn.
func TestEndIsMovingFromTheBeginningOfAMoveToItsEnd(t *testing.T) {
	r, w := pipe(t, nil)
	for name, h := range map[string]interface {
		BeginMove(ctx context.Context) error
		AbandonMove()
		FinishMove(err error) error
		IsMoving() bool
	}{"reading": r.in, "writing": w.out} {
		test.Equal(t, h.IsMoving(), false)
		test.Check(t, h.BeginMove(t.Context()))
		test.Equal(t, h.IsMoving(), true)
		test.Is(t, h.BeginMove(t.Context()), ErrLocked)
		h.AbandonMove()
		if h.IsMoving() {
			t.Error(name, "half moves though the move was abandoned")
		}
		test.Check(t, h.BeginMove(t.Context()))
		test.Check(t, h.FinishMove(ErrMoved))
		if h.IsMoving() {
			t.Error(name, "half moves though it has moved")
		}
		test.Is(t, h.BeginMove(t.Context()), ErrMoved)
	}
}

// A move waits until what was queued is written. Whoever closes the end meanwhile ends the wait.
func TestMoveWaitsForTheQueue(t *testing.T) {
	test.Bounded(t)
	for _, closed := range []bool{false, true} {
		rs, ws := openPipe(t, pageSize)
		w := newWriter(ws, &options{Buffer: 100})
		n := filled(t, w) + 1
		test.Check(t, w.Put(t.Context(), []byte("queued")))
		r := newReader(rs, nil)
		moved := test.Started(func() error { return w.out.BeginMove(t.Context()) })
		test.Eventually(t, "the move waits", func() bool {
			w.out.mu.Lock()
			defer w.out.mu.Unlock()
			return len(w.out.waiters) == 1
		})
		if closed {
			test.Check(t, w.CloseNow())
			test.Is(t, <-moved, ErrClosed)
		} else {
			for range n {
				_, err := r.Get(t.Context())
				test.Check(t, err)
			}
			test.Check(t, <-moved)
			test.Check(t, w.out.FinishMove(ErrMoved))
		}
		test.Check(t, r.Close())
	}
}

func TestEndThatIsInUseDoesNotMove(t *testing.T) {
	test.Bounded(t)
	rs, ws := openPipe(t, pageSize)
	w := newWriter(ws, nil)
	filled(t, w)
	put := test.Started(func() error { return w.Put(t.Context(), []byte("waits")) })
	underWay(t, w.out, 1)
	test.Is(t, w.out.BeginMove(t.Context()), ErrLocked)
	test.Check(t, w.CloseNow())
	test.Is(t, <-put, ErrClosed)
	test.Check(t, rs.Close())

	r, w := pipe(t, nil)
	_, err := w.out.BeginFeed(t.Context())
	test.Check(t, err)
	test.Is(t, w.out.BeginMove(t.Context()), ErrLocked)
	w.out.EndFeed()
	test.Check(t, w.out.BeginMove(t.Context()))
	w.out.AbandonMove()

	get := test.Started(func() error { _, err := r.Get(t.Context()); return err })
	underWay(t, r.in, 1)
	test.Is(t, r.in.BeginMove(t.Context()), ErrLocked)
	test.Check(t, w.Put(t.Context(), nil))
	test.Check(t, <-get)
	test.Check(t, r.in.BeginMove(t.Context()))
	r.in.AbandonMove()
}

func TestTryEnterKeepsOthersWaiting(t *testing.T) {
	test.Bounded(t)
	r, w := pipe(t, nil)
	test.Check(t, r.in.TryEnter())
	test.Is(t, r.in.TryEnter(), ErrLocked)
	test.Is(t, r.TryClose(), ErrLocked)
	test.Check(t, w.Put(t.Context(), []byte("text")))
	get := test.Started(func() error { _, err := r.Get(t.Context()); return err })
	underWay(t, r.in, 2)
	r.in.Leave()
	test.Check(t, <-get)
	test.Check(t, r.in.TryEnter())
	test.Check(t, r.Close())
	test.Is(t, r.in.TryEnter(), ErrClosed)
}

// A native channel that can't begin is not counted: Close would wait for it.
func TestNoChannelBeginsOnAnEndThatIsClosing(t *testing.T) {
	test.Bounded(t)
	rs, ws := openPipe(t, pageSize)
	w := newWriter(ws, &options{Buffer: 100})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.out.BeginFeed(ended)
	test.Is(t, err, context.Canceled)
	test.Check(t, w.out.Ending())

	filled(t, w)
	test.Check(t, w.Put(t.Context(), []byte("queued")))
	closed := test.Started(w.Close)
	test.Eventually(t, "Close waits", func() bool { return w.out.Ending() != nil })
	test.Is(t, w.out.Ending(), ErrClosed)
	test.Check(t, w.out.Err()) // its stream is still written to
	_, err = w.out.BeginFeed(t.Context())
	test.Is(t, err, ErrClosed)
	test.Check(t, rs.Close())
	test.Is(t, <-closed, ErrPeerClosed)
	test.Is(t, w.out.Err(), ErrClosed)
}

// The name of a pipe tells nobody anything.
func TestErrorOfAWriteDoesNotNameThePipe(t *testing.T) {
	err := explain(&fs.PathError{Op: "write", Path: "|1", Err: io.ErrClosedPipe})
	test.Is(t, err, ErrPeerClosed, io.ErrClosedPipe)
	test.Equal(t, err.Error(), "the reading end is closed (io: read/write on closed pipe)")
}

func TestStatsCountTheStreamsReads(t *testing.T) {
	r := newReader(io.NopCloser(readerFunc(func(p []byte) (int, error) {
		return copy(p, appendFrame(nil, []byte("text"))), nil
	})), nil)
	for i := range 3 {
		_, err := r.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, r.Stats().Reads, uint64(i+1))
		test.Equal(t, r.Stats().Messages, uint64(i+1))
		test.Equal(t, r.Stats().Bytes, uint64(4*(i+1)))
	}
	test.Check(t, r.Close())
}

var errDisk = errors.New("disk full")

// failsToClose is a stream whose Close reports what its writes did not.
type failsToClose struct{ io.Writer }

func (failsToClose) Close() error { return errDisk }

// Close waits for the mark for a while, and then has the error of the stream's own Close.
func TestErrorOfTheStreamsCloseBehindTheMarkIsReturned(t *testing.T) {
	for range 1000 { // a slow machine may take longer
		err := newWriter(failsToClose{io.Discard}, marked).Close()
		if err == errDisk {
			return
		}
		test.Check(t, err)
	}
	t.Error("the error of the stream's Close is lost")
}
