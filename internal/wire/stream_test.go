package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
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
	test.Bounded(t)
	forever := make(chan int)
	defer close(forever)
	reading := make(chan bool, 1)
	r := newReader(&fakeStream{read: func([]byte) (int, error) {
		reading <- true
		<-forever
		return 0, io.EOF
	}}, nil)
	got := test.Started(func() error { _, err := r.Get(t.Context()); return err })
	<-reading
	test.Check(t, r.Close())
	test.Is(t, <-got, ErrClosed)
}

// TestAbandonedReadGoesToTheNextGet: what a stream's Read brings in behind a cancelled Get is not lost, nor its error.
func TestAbandonedReadGoesToTheNextGet(t *testing.T) {
	test.Bounded(t)
	bring, reading := make(chan []byte), make(chan bool, 1)
	r := newReader(&fakeStream{read: func(p []byte) (int, error) {
		reading <- true
		b, more := <-bring
		if !more {
			return 0, io.EOF
		}
		return copy(p, b), nil
	}}, nil)
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		got := test.Started(func() error { _, err := r.Get(ctx); return err })
		<-reading
		cancel()
		test.Is(t, <-got, context.Canceled)
		bring <- appendFrame(nil, fmt.Append(nil, i))
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, string(v), fmt.Sprint(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.Get(ctx)
	test.Is(t, err, context.Canceled)
	close(bring)
	_, err = r.Get(t.Context())
	test.Equal(t, err, io.EOF)
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
				test.Bounded(t)
				r := newReader(stream, nil)
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
				test.Bounded(t)
				w := newWriter(stream, nil)
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
	test.Bounded(t)
	r := newReader(&withDeadlines{readerFunc(func([]byte) (int, error) { panic("read") })}, nil)
	test.Panics(t, func() { _, _ = r.Get(t.Context()) })
	_, err := r.Get(t.Context())
	test.Is(t, err, stream.ErrPanicked)
	test.Check(t, r.TryClose())

	gate, entered := make(chan bool), make(chan bool, 1)
	w := newWriter(&writerWithDeadlines{&fakeStream{write: func([]byte) (int, error) {
		entered <- true
		<-gate
		panic("write")
	}}}, nil)
	hit := test.Started(func() (err error) {
		defer func() { err = fmt.Errorf("panic: %v", recover()) }()
		return w.Put(t.Context(), []byte("x"))
	})
	<-entered
	waiting := test.Started(func() error { return w.Put(t.Context(), []byte("y")) })
	underWay(t, w.out, 2)
	close(gate)
	test.Equal(t, (<-hit).Error(), "panic: write")
	test.Is(t, <-waiting, stream.ErrPanicked)
	test.Is(t, w.Put(t.Context(), []byte("z")), stream.ErrPanicked)
	test.Check(t, w.TryClose())
}

// TestStreamThatPanicsInACrowdIsNotLocked: nor is it where one Put writes for several.
func TestStreamThatPanicsInACrowdIsNotLocked(t *testing.T) {
	test.Bounded(t)
	for name, leave := range map[string]func(){"panic": func() { panic("write") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			w := newWriter(&writerWithDeadlines{&fakeStream{write: func([]byte) (int, error) { leave(); return 0, nil }}}, nil)
			w.out.mu.Lock()
			w.out.crowd = 8 // as behind Puts that came together
			w.out.mu.Unlock()
			hit := make(chan any)
			go func() {
				defer func() { hit <- recover() }()
				_ = w.Put(t.Context(), []byte("x"))
			}()
			test.Equal(t, <-hit != nil, name == "panic")
			test.Is(t, w.Put(t.Context(), []byte("y")), stream.ErrPanicked)
			w.out.mu.Lock()
			test.Equal(t, w.out.yielding, 0)
			w.out.mu.Unlock()
			test.Check(t, w.TryClose())
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestCloseThatWaitsForTheStreamsReadWakesGet: a stream may have one lock around both.
func TestCloseThatWaitsForTheStreamsReadWakesGet(t *testing.T) {
	test.Bounded(t)
	var lock sync.Mutex
	more, reading := make(chan bool), make(chan bool, 1)
	r := newReader(&fakeStream{
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
	}, nil)
	got := test.Started(func() error { _, err := r.Get(t.Context()); return err })
	<-reading
	closed := test.Started(r.Close)
	test.Is(t, <-got, ErrClosed)
	close(more)
	test.Check(t, <-closed)
}

// TestStatsCountTheStreamsWrites: each of those that a large message takes.
func TestStatsCountTheStreamsWrites(t *testing.T) {
	calls := 0
	stream := &fakeStream{write: func(p []byte) (int, error) { calls++; return len(p), nil }}
	for _, s := range []io.WriteCloser{stream, &writerWithDeadlines{stream}} {
		calls = 0
		w := newWriter(s, nil)
		test.Check(t, w.Put(t.Context(), make([]byte, 1<<20+1)))
		test.Check(t, w.Put(t.Context(), make([]byte, 100)))
		test.Check(t, w.Close())
		test.Equal(t, w.Stats().Writes, uint64(calls))
		test.Equal(t, calls > 2, true)
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
	test.Bounded(t)
	r := newReader(&closedWhileWoken{woken: make(chan bool, 1), end: io.EOF}, nil)
	got := test.Started(func() error { _, err := r.Get(t.Context()); return err })
	underWay(t, r.in, 1)
	r.in.src.Interrupt()
	test.Equal(t, <-got, io.EOF)
	w := newWriter(&closedWhileWoken{woken: make(chan bool, 1), end: io.ErrClosedPipe}, nil)
	put := test.Started(func() error { return w.Put(t.Context(), []byte("x")) })
	underWay(t, w.out, 1)
	w.out.dst.Interrupt()
	test.Is(t, <-put, ErrPeerClosed)
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
	test.Bounded(t)
	w := newWriter(&tlsLike{deadline: make(chan time.Time, 10)}, &options{Buffer: 1000})
	test.Check(t, w.Put(t.Context(), []byte("queued"))) // the drain writes it
	ctx, cancel := context.WithCancel(t.Context())
	big := test.Started(func() error { return w.Put(ctx, test.Pattern(2000)) })
	underWay(t, w.out, 1)
	cancel()
	test.Is(t, <-big, context.Canceled)
	w.out.dst.Interrupt()
	test.Is(t, w.Flush(t.Context()), os.ErrDeadlineExceeded)
	test.Is(t, w.Close(), os.ErrDeadlineExceeded)
}

// TestMemoryOfPutIsFreeAfterCloseNow: a Put that CloseNow ended has given up its memory, though a stream that can't be
// stopped still reads from what it was given.
func TestMemoryOfPutIsFreeAfterCloseNow(t *testing.T) {
	for _, size := range []int{100, 300 << 10} {
		test.Bounded(t)
		given, finish, finished := make(chan []byte), make(chan bool), make(chan bool)
		w := newWriter(&fakeStream{write: func(p []byte) (int, error) {
			given <- p
			<-finish
			copied := bytes.Clone(p) // the race detector compares this with the owner's write
			close(finished)
			return len(copied), errors.New("closed")
		}}, &options{Copied: true})
		message := bytes.Clone(test.Pattern(size))
		put := test.Started(func() error { return w.Put(t.Context(), message) })
		<-given
		test.Check(t, w.CloseNow())
		test.Is(t, <-put, ErrClosed)
		clear(message)
		for range 10 { // they use the same pool
			r2, w2 := pipe(t, &options{Copied: true})
			other := test.Started(func() error { return w2.Put(t.Context(), test.Pattern(size)) })
			_, err := r2.Get(t.Context())
			test.Check(t, errors.Join(err, <-other))
		}
		close(finish)
		<-finished
	}
}
