package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeStream is a stream made of functions, without deadlines.
type fakeStream struct {
	read  func(p []byte) (int, error)
	write func(p []byte) (int, error)
	close func() error
}

func (s *fakeStream) Read(p []byte) (int, error)  { return s.read(p) }
func (s *fakeStream) Write(p []byte) (int, error) { return s.write(p) }
func (s *fakeStream) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// TestCloseWakesGetWhereTheStreamDoesNot: a Get in the Read of a stream whose Close doesn't end Reads, like a terminal's,
// returns when the Reader is closed.
func TestCloseWakesGetWhereTheStreamDoesNot(t *testing.T) {
	bounded(t)
	forever := make(chan int)
	defer close(forever)
	reading := make(chan bool, 1)
	r := NewReader(&fakeStream{read: func([]byte) (int, error) {
		reading <- true
		<-forever
		return 0, io.EOF
	}}, rawOptions)
	got := started(func() error { _, err := r.Get(t.Context()); return err })
	<-reading
	check(t, r.Close())
	checkIs(t, <-got, ErrClosed)
}

// TestAbandonedReadGoesToTheNextGet: what a stream's Read brings in behind a cancelled Get is not lost, nor its error.
func TestAbandonedReadGoesToTheNextGet(t *testing.T) {
	bounded(t)
	bring, reading := make(chan []byte), make(chan bool, 1)
	r := NewReader(&fakeStream{read: func(p []byte) (int, error) {
		reading <- true
		b, more := <-bring
		if !more {
			return 0, io.EOF
		}
		return copy(p, b), nil
	}}, rawOptions)
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		got := started(func() error { _, err := r.Get(ctx); return err })
		<-reading
		cancel()
		checkIs(t, <-got, context.Canceled)
		bring <- appendFrame(nil, fmt.Append(nil, i))
		v, err := r.Get(t.Context())
		check(t, err)
		checkEqual(t, string(v), fmt.Sprint(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.Get(ctx)
	checkIs(t, err, context.Canceled)
	close(bring)
	_, err = r.Get(t.Context())
	checkEqual(t, err, io.EOF)
}

// TestStreamThatBreaksItsContractIsAnError: a stream that lies about counts, or never gets on, gives errors, not panics,
// endless loops or wrong messages.
func TestStreamThatBreaksItsContractIsAnError(t *testing.T) {
	for _, c := range []struct {
		name string
		read func(p []byte) (int, error)
		want string
	}{
		{"reads more than there is room", func(p []byte) (int, error) { return len(p) + 1, nil }, "returned"},
		{"reads less than nothing", func(p []byte) (int, error) { return -1, nil }, "returned"},
		{"reads nothing", func(p []byte) (int, error) { return 0, nil }, io.ErrNoProgress.Error()},
		{"fails", func(p []byte) (int, error) { return 0, errors.New("torn cable") }, "torn cable"},
	} {
		for name, stream := range map[string]io.ReadCloser{
			"":           &fakeStream{read: c.read},
			", deadline": &withDeadlines{&fakeStream{read: c.read}},
		} {
			t.Run(c.name+name, func(t *testing.T) {
				bounded(t)
				r := NewReader(stream, rawOptions)
				_, err := r.Get(t.Context())
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error is %v, want %s", err, c.want)
				}
			})
		}
	}
	for _, c := range []struct {
		name  string
		write func(p []byte) (int, error)
		want  string
	}{
		{"writes more than it was given", func(p []byte) (int, error) { return len(p) + 1, nil }, "returned"},
		{"writes less than nothing", func(p []byte) (int, error) { return -1, nil }, "returned"},
		{"writes nothing", func(p []byte) (int, error) { return 0, nil }, io.ErrShortWrite.Error()},
		{"writes a part", func(p []byte) (int, error) { return len(p) - 1, nil }, io.ErrShortWrite.Error()},
		{"fails", func(p []byte) (int, error) { return 0, errors.New("torn cable") }, "torn cable"},
		{"has no deadline and says it passed", func(p []byte) (int, error) { return 0, os.ErrDeadlineExceeded }, "timeout"},
	} {
		for name, stream := range map[string]io.WriteCloser{
			"":           &fakeStream{write: c.write},
			", deadline": &writerWithDeadlines{&fakeStream{write: c.write}},
		} {
			t.Run(c.name+name, func(t *testing.T) {
				bounded(t)
				w := NewWriter(stream, rawOptions)
				for range 2 {
					err := w.Put(t.Context(), []byte("hello"))
					if err == nil || !strings.Contains(err.Error(), c.want) {
						t.Fatalf("error is %v, want %s", err, c.want)
					}
				}
				_ = w.Close() // may report the same
			})
		}
	}
}

// TestStreamThatPanicsIsNotLocked: the panic goes to the caller whose call it hit; all others get an error.
func TestStreamThatPanicsIsNotLocked(t *testing.T) {
	bounded(t)
	r := NewReader(&withDeadlines{readerFunc(func([]byte) (int, error) { panic("read") })}, rawOptions)
	panics(t, func() { _, _ = r.Get(t.Context()) })
	_, err := r.Get(t.Context())
	checkIs(t, err, errStreamPanicked)
	check(t, r.TryClose())

	gate, entered := make(chan bool), make(chan bool, 1)
	w := NewWriter(&writerWithDeadlines{&fakeStream{write: func([]byte) (int, error) {
		entered <- true
		<-gate
		panic("write")
	}}}, rawOptions)
	hit := started(func() (err error) {
		defer func() { err = fmt.Errorf("panic: %v", recover()) }()
		return w.Put(t.Context(), []byte("x"))
	})
	<-entered
	waiting := started(func() error { return w.Put(t.Context(), []byte("y")) })
	underWay(t, w.out, 2)
	close(gate)
	checkEqual(t, (<-hit).Error(), "panic: write")
	checkIs(t, <-waiting, errStreamPanicked)
	checkIs(t, w.Put(t.Context(), []byte("z")), errStreamPanicked)
	check(t, w.TryClose())
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestCloseThatWaitsForTheStreamsReadWakesGet: a stream may have one lock around both.
func TestCloseThatWaitsForTheStreamsReadWakesGet(t *testing.T) {
	bounded(t)
	var lock sync.Mutex
	more, reading := make(chan bool), make(chan bool, 1)
	r := NewReader(&fakeStream{
		read: func([]byte) (int, error) {
			lock.Lock()
			defer lock.Unlock()
			reading <- true
			<-more
			return 0, io.EOF
		},
		close: func() error {
			lock.Lock()
			defer lock.Unlock()
			return nil
		},
	}, rawOptions)
	got := started(func() error { _, err := r.Get(t.Context()); return err })
	<-reading
	closed := started(r.Close)
	checkIs(t, <-got, ErrClosed)
	close(more)
	check(t, <-closed)
}

// Nothing is no write: a pipe of Windows would deliver it, and a reader would take it for the end.
func TestWriteIsOfWholePagesAndNeverOfNothing(t *testing.T) {
	for _, c := range []struct {
		head, body int
		want       []int
	}{
		{0, 0, nil},
		{10, 0, []int{10}},
		{0, 10, []int{10}},
		{10, 10, []int{10, 10}},
		{chunkSize, 0, []int{chunkSize}},
		{chunkSize + 10, 0, []int{chunkSize, 10}},
		{10, chunkSize + 10, []int{10, chunkSize, 10}},
	} {
		var sizes []int
		var writes uint64
		n, err := writeBoth(&fakeStream{write: func(p []byte) (int, error) {
			sizes = append(sizes, len(p))
			return len(p), nil
		}}, make([]byte, c.head), make([]byte, c.body), &writes)
		if n != c.head+c.body || err != nil || !slices.Equal(sizes, c.want) || writes != uint64(len(sizes)) {
			t.Errorf("head %d, body %d: wrote %v, %d in all, %v; want %v", c.head, c.body, sizes, n, err, c.want)
		}
	}
}

// TestStatsCountTheStreamsWrites: each of those that a large message takes.
func TestStatsCountTheStreamsWrites(t *testing.T) {
	calls := 0
	stream := &fakeStream{write: func(p []byte) (int, error) { calls++; return len(p), nil }}
	for _, s := range []io.WriteCloser{stream, &writerWithDeadlines{stream}} {
		calls = 0
		w := NewWriter(s, rawOptions)
		check(t, w.Put(t.Context(), make([]byte, 1<<20+1)))
		check(t, w.Put(t.Context(), make([]byte, 100)))
		check(t, w.Close())
		checkEqual(t, w.Stats().Writes, uint64(calls))
		checkEqual(t, calls > 2, true)
	}
}

type writerWithDeadlines struct{ io.WriteCloser }

func (*writerWithDeadlines) SetWriteDeadline(time.Time) error { return nil }

// closedWhileWoken is a stream whose other end is closed at the moment when a call is woken by a deadline: then the
// deadline can't be cleared any more, as on a net.Pipe.
type closedWhileWoken struct {
	woken chan bool
	calls int
	end   error // of calls after the first
}

func (s *closedWhileWoken) Read([]byte) (int, error) {
	if s.calls++; s.calls == 1 {
		<-s.woken
		return 0, os.ErrDeadlineExceeded
	}
	return 0, s.end
}

func (s *closedWhileWoken) Write(p []byte) (int, error) { return s.Read(p) }

func (s *closedWhileWoken) SetReadDeadline(d time.Time) error {
	switch {
	case !d.IsZero():
		select {
		case s.woken <- true:
		default:
		}
	case s.calls > 0:
		return io.ErrClosedPipe
	}
	return nil
}

func (s *closedWhileWoken) SetWriteDeadline(d time.Time) error { return s.SetReadDeadline(d) }

func (s *closedWhileWoken) Close() error { return nil }

// TestEndIsExactThoughACallWasWoken: what a woken call finds out is why the stream ended, not that it could not be readied
// for another call.
func TestEndIsExactThoughACallWasWoken(t *testing.T) {
	bounded(t)
	r := NewReader(&closedWhileWoken{woken: make(chan bool, 1), end: io.EOF}, rawOptions)
	got := started(func() error { _, err := r.Get(t.Context()); return err })
	underWay(t, r.in, 1)
	r.in.src.interrupt()
	checkEqual(t, <-got, io.EOF)
	w := NewWriter(&closedWhileWoken{woken: make(chan bool, 1), end: io.ErrClosedPipe}, rawOptions)
	put := started(func() error { return w.Put(t.Context(), []byte("x")) })
	underWay(t, w.out, 1)
	w.out.dst.interrupt()
	checkIs(t, <-put, ErrPeerClosed)
}

// tlsLike is a stream that is broken for good once a write has met its deadline, as a tls.Conn is.
type tlsLike struct {
	deadline chan time.Time
	broken   bool
}

func (s *tlsLike) Write(p []byte) (int, error) {
	for !s.broken {
		s.broken = !(<-s.deadline).IsZero()
	}
	return 0, fmt.Errorf("tls: %w", os.ErrDeadlineExceeded)
}

func (s *tlsLike) SetWriteDeadline(d time.Time) error {
	select {
	case s.deadline <- d:
	default:
	}
	return nil
}

func (s *tlsLike) Close() error { return nil }

// TestStreamBrokenByDeadlineEndsTheWriter: the Writer doesn't try for ever on a stream that doesn't survive a deadline.
func TestStreamBrokenByDeadlineEndsTheWriter(t *testing.T) {
	bounded(t)
	w := NewWriter(&tlsLike{deadline: make(chan time.Time, 10)}, &Options[[]byte]{Codec: Raw{}, Buffer: 1000})
	check(t, w.Put(t.Context(), []byte("queued"))) // the drain writes it
	ctx, cancel := context.WithCancel(t.Context())
	big := started(func() error { return w.Put(ctx, pattern(2000)) })
	underWay(t, w.out, 1)
	cancel()
	checkIs(t, <-big, context.Canceled)
	w.out.dst.interrupt()
	checkIs(t, w.Flush(t.Context()), os.ErrDeadlineExceeded)
	checkIs(t, w.Close(), os.ErrDeadlineExceeded)
}

// TestMemoryOfPutIsFreeAfterCloseNow: a Put that CloseNow ended has given up its memory, though a stream that can't be
// stopped still reads from what it was given.
func TestMemoryOfPutIsFreeAfterCloseNow(t *testing.T) {
	for _, size := range []int{100, 300 << 10} {
		bounded(t)
		given, finish, finished := make(chan []byte), make(chan bool), make(chan bool)
		w := NewWriter(&fakeStream{write: func(p []byte) (int, error) {
			given <- p
			<-finish
			copied := bytes.Clone(p) // the race detector compares this with the owner's write
			close(finished)
			return len(copied), errors.New("closed")
		}}, &Options[[]byte]{Codec: CodecFunc("own", appendBytes, decodeBytes)})
		message := bytes.Clone(pattern(size))
		put := started(func() error { return w.Put(t.Context(), message) })
		<-given
		check(t, w.CloseNow())
		checkIs(t, <-put, ErrClosed)
		clear(message)
		for range 10 { // they use the same pool
			r2, w2 := rawPipe(t, &Options[[]byte]{Codec: CodecFunc("own", appendBytes, decodeBytes)})
			other := started(func() error { return w2.Put(t.Context(), pattern(size)) })
			_, err := r2.Get(t.Context())
			check(t, errors.Join(err, <-other))
		}
		close(finish)
		<-finished
	}
}

func appendBytes(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }

func decodeBytes(src []byte, v *[]byte) error {
	*v = append((*v)[:0], src...)
	return nil
}

// TestNoGoroutineOutlivesAnEnd: after Close nothing is left of a call, nor of what its ctx was registered with, whatever
// the ctx's type.
func TestNoGoroutineOutlivesAnEnd(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		before := runtime.NumGoroutine()
		own, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range 50 {
			rs, ws := s.open(t)
			r, w := NewReader(rs, rawOptions), NewWriter(ws, rawOptions)
			ctx := context.Context(oneCtx{Context: ownDone{own, make(chan struct{})}})
			var calls []<-chan error
			for range 3 {
				calls = append(calls, started(func() error { _, err := r.Get(ctx); return err }))
				calls = append(calls, started(func() error { return w.Put(ctx, stamped(0, 0, 100<<10)) }))
			}
			msgs, why := r.Chan(ctx)
			if i%2 == 0 {
				eventually(t, "calls are under way", func() bool { return r.in.callsIn() >= 2 || r.Stats().Received > 0 })
			}
			_ = w.CloseNow() // in any order with the calls
			_ = r.Close()
			for _, c := range calls {
				<-c
			}
			for range msgs {
			}
			<-why
		}
		eventually(t, "as few goroutines as before", func() bool { return runtime.NumGoroutine() <= before+2 })
	})
}

// TestNothingIsRegisteredWithACtxBehindClose: not even by a call that Close overtook.
func TestNothingIsRegisteredWithACtxBehindClose(t *testing.T) {
	bounded(t)
	i := interrupter{setDeadline: func(time.Time) error { return nil }}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i.arm(ctx)
	checkEqual(t, i.stop != nil, true)
	i.close()
	other, cancelOther := context.WithCancel(t.Context())
	defer cancelOther()
	i.arm(other)
	checkEqual(t, i.stop != nil, false)
}

// ownDone has a Done of its own, so that the context package must watch it with a goroutine.
type ownDone struct {
	context.Context
	done chan struct{}
}

func (c ownDone) Done() <-chan struct{} { return c.done }

// brittle is a stream that is broken for good by a deadline in the past, as a tls.Conn is by a write that met it.
type brittle struct {
	io.Writer
	broken bool
}

func (s *brittle) Write(p []byte) (int, error) {
	if s.broken {
		return 0, os.ErrDeadlineExceeded
	}
	return s.Writer.Write(p)
}

func (s *brittle) SetWriteDeadline(d time.Time) error {
	s.broken = s.broken || !d.IsZero()
	return nil
}

func (s *brittle) Close() error { return nil }

// TestCtxThatEndsBehindItsCallTouchesNothing: programs that cancel each call's ctx behind it, as all do that set a timeout
// for each, don't meet deadlines, and need no second write.
func TestCtxThatEndsBehindItsCallTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent bytes.Buffer
		w := NewWriter(&brittle{Writer: &sent}, rawOptions)
		for i := range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			check(t, w.Put(ctx, []byte{byte(i)}))
			cancel()
			synctest.Wait()
		}
		checkEqual(t, w.Stats().Writes, 10)
		check(t, w.Close())

		r := NewReader(io.NopCloser(&sent), rawOptions)
		for i := range 10 {
			got, err := r.Get(t.Context())
			check(t, err)
			checkEqual(t, int(got[0]), i)
		}
	})
}
