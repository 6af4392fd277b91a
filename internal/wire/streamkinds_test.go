package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
)

// Streams that differ from pipes and sockets in one point, as those that users bring do.

// lateError is the error of a deadline that a multiplexed stream gives: it says that it is a timeout, and wraps nothing.
type lateError struct{}

func (lateError) Error() string   { return "i/o deadline reached" }
func (lateError) Timeout() bool   { return true }
func (lateError) Temporary() bool { return true }

// multiplexed is a connection with such errors.
type multiplexed struct{ net.Conn }

func (m multiplexed) Read(p []byte) (int, error)  { return m.late(m.Conn.Read(p)) }
func (m multiplexed) Write(p []byte) (int, error) { return m.late(m.Conn.Write(p)) }

func (multiplexed) late(n int, err error) (int, error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = lateError{}
	}
	return n, err
}

// TestDeadlineErrorOfAnyKindIsTheCtxs: a cancelled call returns its ctx's error, and later calls work.
func TestDeadlineErrorOfAnyKindIsTheCtxs(t *testing.T) {
	test.Bounded(t)
	a, b := net.Pipe()
	r, w := newReader(multiplexed{a}, nil), newWriter(multiplexed{b}, nil)
	closeAtEnd(t, r, w)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		got := test.Started(func() error { _, err := r.Get(ctx); return err })
		underWay(t, r.in, 1)
		cancel()
		test.Is(t, <-got, context.Canceled)

		ctx, cancel = context.WithCancel(t.Context())
		put := test.Started(func() error { return w.Put(ctx, []byte("never")) })
		underWay(t, w.out, 1)
		cancel()
		err := <-put
		test.Is(t, err, context.Canceled)
		test.IsNot(t, err, ErrPartial)

		put = test.Started(func() error { return w.Put(t.Context(), []byte("fine")) })
		v, err := r.Get(t.Context())
		test.Check(t, errors.Join(err, <-put))
		test.Equal(t, string(v), "fine")
	}
}

// locked is a connection whose Close waits for its Reads and Writes, as where one lock is around all of them.
type locked struct {
	net.Conn
	mu *sync.Mutex
}

func (l locked) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Conn.Read(p)
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Conn.Write(p)
}

func (l locked) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Conn.Close()
}

// deaf is a connection whose Close wakes nobody.
type deaf struct{ net.Conn }

func (deaf) Close() error { return nil }

// TestCloseWakesCallsWhateverTheStreamsCloseDoes: whether it waits for them or leaves them alone.
func TestCloseWakesCallsWhateverTheStreamsCloseDoes(t *testing.T) {
	test.Bounded(t)
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"waits":   func(c net.Conn) net.Conn { return locked{c, new(sync.Mutex)} },
		"is deaf": func(c net.Conn) net.Conn { return deaf{c} },
	} {
		t.Run(name, func(t *testing.T) {
			a, other := net.Pipe()
			defer a.Close()
			defer other.Close()
			r := newReader(wrap(a), nil)
			got := test.Started(func() error { _, err := r.Get(t.Context()); return err })
			underWay(t, r.in, 1)
			test.Check(t, r.Close())
			test.Is(t, <-got, ErrClosed)

			b, other := net.Pipe()
			defer b.Close()
			defer other.Close()
			w := newWriter(wrap(b), nil)
			put := test.Started(func() error { return w.Put(t.Context(), []byte("nobody reads this")) })
			underWay(t, w.out, 1)
			test.Check(t, w.CloseNow())
			test.Is(t, <-put, ErrClosed)
		})
	}
}

// TestEOFOfAWriteIsNoEndOfInput: streams whose other side takes no more return it from Write.
func TestEOFOfAWriteIsNoEndOfInput(t *testing.T) {
	for _, opts := range []*options{nil, {Buffer: 100}} {
		w := newWriter(&fakeStream{write: func([]byte) (int, error) { return 0, io.EOF }}, opts)
		_ = w.Put(t.Context(), []byte("x")) // where it is queued, the next call says so
		test.Eventually(t, "the stream is broken", func() bool { return w.Flush(t.Context()) != nil })
		for _, err := range []error{w.Put(t.Context(), []byte("x")), w.Flush(t.Context())} {
			test.Is(t, err, ErrPeerClosed)
			test.IsNot(t, err, io.EOF)
		}
	}
}

// TestPanicOfAStreamIsAnError: where nobody could recover from it, on a goroutine of the library's.
func TestPanicOfAStreamIsAnError(t *testing.T) {
	test.Bounded(t)
	w := newWriter(&fakeStream{write: func([]byte) (int, error) { panic("write") }}, nil)
	for range 2 {
		test.Is(t, w.Put(t.Context(), []byte("x")), stream.ErrPanicked)
	}
	_ = w.Close() // may report the same
}

// TestClosedEndSaysSoWhateverItIsGiven: also for a message that is too large.
func TestClosedEndSaysSoWhateverItIsGiven(t *testing.T) {
	_, w := pipe(t, &options{MaxMessage: 10})
	test.Check(t, w.Close())
	test.Is(t, w.Put(t.Context(), make([]byte, 100)), ErrClosed)
}

// TestTryCloseBehindTheLastPutCloses: when it has returned, nothing is under way.
func TestTryCloseBehindTheLastPutCloses(t *testing.T) {
	test.Bounded(t)
	for range test.Scaled(20_000) {
		w := newWriter(&fakeStream{write: func(p []byte) (int, error) { return len(p), nil }}, nil)
		test.Check(t, w.Put(t.Context(), []byte("x")))
		test.Check(t, w.TryClose())
	}
	for range test.Scaled(2000) {
		w := newWriter(&writerWithDeadlines{&fakeStream{write: func(p []byte) (int, error) { return len(p), nil }}}, nil)
		w.out.crowd = crowdMemory
		var puts []<-chan error
		for range 4 {
			puts = append(puts, test.Started(func() error { return w.Put(t.Context(), []byte("x")) }))
		}
		for _, put := range puts {
			test.Check(t, <-put)
		}
		test.Check(t, w.TryClose())
	}
}

// TestWorksInABubble: a Put that sleeps inside a bubble of testing/synctest leaves nothing behind that a Put outside of it
// trips over, and time inside is the bubble's.
func TestWorksInABubble(t *testing.T) {
	for name, open := range map[string]func() (io.ReadCloser, io.WriteCloser){
		"io.Pipe":  func() (io.ReadCloser, io.WriteCloser) { return io.Pipe() },
		"net.Pipe": func() (io.ReadCloser, io.WriteCloser) { return net.Pipe() },
	} {
		t.Run(name, func(t *testing.T) {
			talk := func(t *testing.T) {
				rs, ws := open()
				r, w := newReader(rs, nil), newWriter(ws, nil)
				var puts []<-chan error
				for i := range 3 {
					puts = append(puts, test.Started(func() error { return w.Put(t.Context(), fmt.Append(nil, i)) }))
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				for range 3 {
					_, err := r.Get(ctx)
					test.Check(t, err)
				}
				for _, put := range puts {
					test.Check(t, <-put)
				}
				_, err := r.Get(ctx)
				test.Is(t, err, context.DeadlineExceeded)
				test.Check(t, w.Close())
				test.Check(t, r.Close())
			}
			for range 3 {
				synctest.Test(t, talk)
				talk(t)
			}
		})
	}
}

// TestWaitingEndHoldsLittle: whatever the last message was, and whichever call waits.
func TestWaitingEndHoldsLittle(t *testing.T) {
	test.Bounded(t)
	const size = 32 << 20
	before := heap()
	r, w := pipe(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	msgs, errs := r.Chan(ctx)
	put := test.Started(func() error { return w.Put(t.Context(), make([]byte, size)) })
	if got := len(<-msgs); got != size {
		t.Fatalf("got %d bytes", got)
	}
	test.Check(t, <-put)
	test.Eventually(t, "the channel holds no more than it needs", func() bool { return heap() < before+size/4 })
	cancel()
	test.Is(t, <-errs, context.Canceled)
}

// TestIdleGetOnAPlainStreamHoldsASmallChunk: though the last message filled one.
func TestIdleGetOnAPlainStreamHoldsASmallChunk(t *testing.T) {
	test.Bounded(t)
	var sizes []int
	asked := make(chan int)
	frame := appendFrame(nil, make([]byte, 508))
	r := newReader(&fakeStream{read: func(p []byte) (int, error) {
		asked <- len(p)
		n := copy(p, frame)
		frame = frame[n:]
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}}, nil)
	got := test.Started(func() error { _, err := r.Get(t.Context()); return err })
	sizes = append(sizes, <-asked)
	test.Check(t, <-got)
	got = test.Started(func() error { _, err := r.Get(t.Context()); return err })
	sizes = append(sizes, <-asked)
	test.Equal(t, <-got, io.EOF)
	test.Equal(t, fmt.Sprint(sizes), "[512 512]")
}

// TestIdleEndLetsGoOfTheCtx: of one that has ended, with all its values.
func TestIdleEndLetsGoOfTheCtx(t *testing.T) {
	test.Bounded(t)
	r, _ := pipe(t, nil)
	type key struct{}
	before := heap()
	func() {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, make([]byte, 16<<20)))
		got := test.Started(func() error { _, err := r.Get(ctx); return err })
		underWay(t, r.in, 1)
		cancel()
		test.Is(t, <-got, context.Canceled)
	}()
	test.Eventually(t, "the ctx is collected", func() bool { return heap() < before+8<<20 })
	test.Check(t, r.Close())
}

// TestNilCtxPanicsInTheCall: with a text of its own, and harms nothing.
func TestNilCtxPanicsInTheCall(t *testing.T) {
	test.Bounded(t)
	r, w := pipe(t, nil)
	var noCtx context.Context
	for name, call := range map[string]func(){
		"Get":     func() { _, _ = r.in.Next(noCtx) },
		"Offer":   func() { _, _ = r.in.Offer(noCtx) },
		"Send":    func() { _ = w.Put(noCtx, nil) },
		"Flush":   func() { _ = w.Flush(noCtx) },
		"Feed":    func() { _, _ = w.out.BeginFeed(noCtx) },
		"move in": func() { _ = w.out.BeginMove(noCtx) },
	} {
		func() {
			defer func() {
				if v := fmt.Sprint(recover()); v != "gipc: a call got a nil Context" {
					t.Errorf("%s: %s", name, v)
				}
			}()
			call()
		}()
	}
	test.Check(t, w.TryClose())
	test.Check(t, r.TryClose())
}
