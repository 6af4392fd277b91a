package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func rawDuplex(t testing.TB, opts *Options[[]byte]) (a, b *Duplex[[]byte, []byte]) {
	a, b, err := NewDuplex(opts, opts)
	test.Check(t, err)
	t.Cleanup(func() {
		_ = a.CloseNow() // the test may have closed either
		_ = b.CloseNow()
	})
	return a, b
}

// TestDuplexDirectionsAreIndependent: each side receives what the other sends, of another type, and ends by itself.
func TestDuplexDirectionsAreIndependent(t *testing.T) {
	test.Bounded(t)
	a, b, err := NewDuplex(inMemory[int](nil), inMemory[string](nil))
	test.Check(t, err)
	test.Check(t, a.Put(t.Context(), "question"))
	test.Check(t, b.Put(t.Context(), 42))
	q, err := b.Get(t.Context())
	test.Check(t, err)
	test.Equal(t, q, "question")
	var n int
	test.Check(t, a.GetInto(t.Context(), &n))
	test.Equal(t, n, 42)
	test.Check(t, a.CloseWrite())
	_, err = b.Get(t.Context())
	test.Equal(t, err, io.EOF)
	test.Check(t, b.Put(t.Context(), 43))
	n, err = a.Get(t.Context())
	test.Check(t, err)
	test.Equal(t, n, 43)
	test.Is(t, a.Put(t.Context(), "more"), ErrClosed)
	test.Equal(t, a.Stats().Received, 2)
	test.Equal(t, a.Stats().Sent, 1)
	test.Check(t, errors.Join(a.Close(), b.Close()))
}

// TestBothDirectionsAtOnce: messages far above the pipes' capacity pass each other without a deadlock.
func TestBothDirectionsAtOnce(t *testing.T) {
	sizes := append([]int{64 << 20}, ladder...)
	if testing.Short() || test.RaceEnabled() {
		sizes = append([]int{4 << 20}, ladder...)
	}
	t.Run("Raw", func(t *testing.T) { bothDirections(t, rawOptions, sizes) })
	t.Run("CBOR", func(t *testing.T) { bothDirections(t, nil, sizes) })
}

func bothDirections(t *testing.T, opts *Options[[]byte], sizes []int) {
	test.Bounded(t)
	a, b := rawDuplex(t, opts)
	var sides []<-chan error
	for _, d := range []*Duplex[[]byte, []byte]{a, b} {
		sides = append(sides, test.Started(func() error {
			for _, size := range sizes {
				if err := d.Put(t.Context(), sized(size)); err != nil {
					return err
				}
			}
			return d.CloseWrite()
		}), test.Started(func() error {
			var v []byte
			for i, size := range sizes {
				if i%2 == 0 {
					v = nil
				}
				if err := d.GetInto(t.Context(), &v); err != nil {
					return err
				}
				if !sizedRight(v, size) {
					return fmt.Errorf("a message of %d bytes arrived wrong, %d bytes", size, len(v))
				}
			}
			_, err := d.Get(t.Context())
			return wants(err, io.EOF)
		}))
	}
	for _, s := range sides {
		test.Check(t, <-s)
	}
	test.Check(t, errors.Join(a.Close(), b.Close()))
}

// sized makes a message of any size; sizedRight checks one.
func sized(n int) []byte {
	v := make([]byte, n)
	for at := 0; at < n; {
		at += copy(v[at:], test.PatternBytes())
	}
	return v
}

func sizedRight(v []byte, n int) bool {
	if len(v) != n {
		return false
	}
	for len(v) > 0 {
		k := min(len(v), len(test.PatternBytes()))
		if string(v[:k]) != string(test.PatternBytes()[:k]) {
			return false
		}
		v = v[k:]
	}
	return true
}

// TestDuplexCloseTable: every call that closes, with each half open, closed or locked before.
func TestDuplexCloseTable(t *testing.T) {
	const (
		open   = "open"
		closed = "closed"
		locked = "locked"
	)
	for _, c := range []struct {
		reader, writer, call string
		want                 error
		reads, writes        bool // the halves that work afterwards
	}{
		{open, open, "Close", nil, false, false},
		{open, closed, "Close", nil, false, false},
		{closed, open, "Close", nil, false, false},
		{closed, closed, "Close", ErrClosed, false, false},
		{locked, open, "Close", nil, false, false},
		{locked, closed, "Close", nil, false, false},
		{open, open, "CloseNow", nil, false, false},
		{open, closed, "CloseNow", nil, false, false},
		{closed, open, "CloseNow", nil, false, false},
		{closed, closed, "CloseNow", ErrClosed, false, false},
		{locked, locked, "CloseNow", nil, false, false},
		{open, locked, "CloseNow", nil, false, false},
		{closed, locked, "CloseNow", nil, false, false},
		{open, open, "TryClose", nil, false, false},
		{open, closed, "TryClose", nil, false, false},
		{closed, open, "TryClose", nil, false, false},
		{closed, closed, "TryClose", ErrClosed, false, false},
		{locked, open, "TryClose", ErrLocked, true, true},
		{open, locked, "TryClose", ErrLocked, true, true},
		{locked, locked, "TryClose", ErrLocked, true, true},
		{locked, closed, "TryClose", ErrLocked, true, false},
		{closed, locked, "TryClose", ErrLocked, false, true},
		{open, open, "CloseWrite", nil, true, false},
		{open, closed, "CloseWrite", ErrClosed, true, false},
		{locked, open, "CloseWrite", nil, true, false},
	} {
		t.Run(c.call+" with reader "+c.reader+" and writer "+c.writer, func(t *testing.T) {
			test.Bounded(t)
			a, b := rawDuplex(t, rawOptions)
			message := make([]byte, 1<<20)
			got, put := make(<-chan error), make(<-chan error)
			switch c.reader {
			case closed:
				test.Check(t, a.Reader().Close())
			case locked:
				got = test.Started(func() error { _, err := a.Get(t.Context()); return err })
				underWay(t, a.Reader(), 1)
			}
			switch c.writer {
			case closed:
				test.Check(t, a.Writer().Close())
			case locked:
				put = test.Started(func() error { return a.Put(t.Context(), message) })
				underWay(t, a.Writer(), 1)
			}
			err := map[string]func() error{
				"Close": a.Close, "CloseNow": a.CloseNow, "TryClose": a.TryClose, "CloseWrite": a.CloseWrite,
			}[c.call]()
			if !errors.Is(err, c.want) {
				t.Fatalf("error is %v, want %v", err, c.want)
			}
			if c.want == ErrClosed {
				test.Is(t, err, os.ErrClosed)
			}
			if c.reads {
				test.Check(t, b.Put(t.Context(), []byte("x")))
			}
			if c.reader == locked {
				if err := <-got; c.reads {
					test.Check(t, err)
				} else {
					test.Is(t, err, ErrClosed)
				}
			} else if _, err := a.Get(t.Context()); c.reads {
				test.Check(t, err)
			} else {
				test.Is(t, err, ErrClosed)
			}
			if c.writes && c.writer == locked {
				_, err := b.Get(t.Context())
				test.Check(t, errors.Join(err, <-put))
			} else if c.writer == locked {
				test.Is(t, <-put, ErrClosed)
			}
			if err := a.Put(t.Context(), nil); c.writes {
				test.Check(t, err)
			} else {
				test.Is(t, err, ErrClosed)
			}
		})
	}
}

// TestDuplexCloseLosesNothing: what was Put before Close is readable behind it.
func TestDuplexCloseLosesNothing(t *testing.T) {
	test.Bounded(t)
	a, b := rawDuplex(t, &Options[[]byte]{Codec: Raw{}, Buffer: 1 << 20, PipeSize: 64 << 10})
	for i := range 100 {
		test.Check(t, a.Put(t.Context(), test.Stamped(0, i, 5000)))
	}
	closed := test.Started(a.Close)
	for i := range 100 {
		v, err := b.Get(t.Context())
		test.Check(t, err)
		_, seq := test.ReadStamp(t, v)
		test.Equal(t, seq, i)
	}
	_, err := b.Get(t.Context())
	test.Equal(t, err, io.EOF)
	test.Check(t, <-closed)
	test.Check(t, b.Put(t.Context(), nil)) // queued
	test.Is(t, b.Flush(t.Context()), ErrPeerClosed)
	test.Is(t, b.Put(t.Context(), nil), ErrPeerClosed)
}

// TestManyConversationsAtOnce: ten Duplexes, each with a partner that answers.
func TestManyConversationsAtOnce(t *testing.T) {
	test.Bounded(t)
	var ended []<-chan error
	for i := range 10 {
		a, b, err := NewDuplex(inMemory[time.Time](nil), inMemory[time.Time](nil))
		test.Check(t, err)
		ended = append(ended, test.Started(func() error {
			for at, err := range b.All(t.Context()) {
				if err != nil {
					return err
				}
				if err := b.Put(t.Context(), at.Add(time.Duration(i))); err != nil {
					return err
				}
			}
			return b.Close()
		}), test.Started(func() error {
			for range 50 {
				now := time.Now()
				if err := a.Put(t.Context(), now); err != nil {
					return err
				}
				back, err := a.Get(t.Context())
				if err != nil || !back.Equal(now.Add(time.Duration(i))) {
					return fmt.Errorf("sent %v, got %v and %v", now, back, err)
				}
			}
			return a.Close()
		}))
	}
	for _, e := range ended {
		test.Check(t, <-e)
	}
}

// TestRing: messages go around a circle of goroutines, each with a pipe to the next.
func TestRing(t *testing.T) {
	test.Bounded(t)
	const stations, messages = 10, 100
	var readers []*Reader[int]
	var writers []*Writer[int]
	for range stations {
		r, w, err := Pipe(inMemory[int](nil))
		test.Check(t, err)
		readers, writers = append(readers, r), append(writers, w)
	}
	var ended []<-chan error
	for i := 1; i < stations; i++ {
		ended = append(ended, test.Started(func() error {
			for n, err := range readers[i-1].All(t.Context()) {
				if err == nil {
					err = writers[i].Put(t.Context(), n+1)
				}
				if err != nil {
					return err
				}
			}
			return errors.Join(writers[i].Close(), readers[i-1].Close())
		}))
	}
	for n := range messages {
		test.Check(t, writers[0].Put(t.Context(), n))
		got, err := readers[stations-1].Get(t.Context())
		test.Check(t, err)
		test.Equal(t, got, n+stations-1)
	}
	test.Check(t, writers[0].Close())
	_, err := readers[stations-1].Get(t.Context())
	test.Equal(t, err, io.EOF)
	for _, e := range ended {
		test.Check(t, <-e)
	}
	test.Check(t, readers[stations-1].Close())
}

// TestNamesForLogs: an end says what it is, its descriptor, and whether it is closed.
func TestNamesForLogs(t *testing.T) {
	a, b := rawDuplex(t, rawOptions)
	for _, want := range []string{"Duplex[[]uint8, []uint8](", "Reader[[]uint8](", "Writer[[]uint8]("} {
		if s := a.String(); !strings.Contains(s, want) {
			t.Errorf("%s lacks %s", s, want)
		}
	}
	test.Check(t, b.Close())
	if s := b.String(); strings.Count(s, "(closed)") != 2 {
		t.Errorf("closed: %s", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Get(ctx)
	if !strings.Contains(err.Error(), a.Reader().String()) {
		t.Errorf("%v doesn't name %v", err, a.Reader())
	}
}

func wants(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("error is %v, want %v", err, want)
}
