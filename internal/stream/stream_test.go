package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// lent is memory that is lent whole, or a part of it to who has to wait.
type lent []byte

func (m lent) Lend(waiting bool) []byte {
	if waiting {
		return m[:min(len(m), smallChunkSize)]
	}
	return m
}

func (lent) Unlend()    {}
func (lent) Amid() bool { return false }

// kinds are the kinds of stream that sources and sinks treat differently.
var kinds = map[string]func(t *testing.T) (io.ReadCloser, io.WriteCloser){
	"pipe": func(t *testing.T) (io.ReadCloser, io.WriteCloser) {
		r, w, err := fd.NewPipe(0)
		test.Check(t, err)
		return r, w
	},
	"net.Pipe": func(*testing.T) (io.ReadCloser, io.WriteCloser) { return net.Pipe() },
	"io.Pipe":  func(*testing.T) (io.ReadCloser, io.WriteCloser) { return io.Pipe() },
}

// onEach runs a test over each kind of stream.
func onEach(t *testing.T, f func(t *testing.T, src Source, dst Sink)) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			test.Bounded(t)
			r, w := open(t)
			src, dst := NewSource(r), NewSink(w)
			t.Cleanup(func() { _, _ = src.Close(), dst.Close() })
			f(t, src, dst)
		})
	}
}

// writeAll writes p, in spite of interrupts.
func writeAll(dst Sink, p []byte) error {
	for len(p) > 0 {
		n, err := dst.Write(context.Background(), p[:1], p[1:])
		p = p[n:]
		if err != nil && err != ErrInterrupted {
			return err
		}
	}
	return nil
}

// readAll reads to the end, in spite of interrupts.
func readAll(src Source) (all []byte, err error) {
	buf := make(lent, ChunkSize)
	for {
		n, err := src.Read(context.Background(), buf)
		all = append(all, buf[:n]...)
		switch {
		case err == io.EOF:
			return all, nil
		case err != nil && err != ErrInterrupted:
			return all, err
		}
	}
}

func TestInterruptsLoseAndRepeatNothing(t *testing.T) {
	onEach(t, func(t *testing.T, src Source, dst Sink) {
		message := test.Pattern(1 << 20)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			random := rand.New(rand.NewPCG(1, 2))
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(random.IntN(50)) * time.Microsecond):
				}
				src.Interrupt()
				dst.Interrupt()
			}
		}()
		written := test.Started(func() error {
			for _, piece := range slices.Collect(slices.Chunk(message, 30_000)) {
				if err := writeAll(dst, piece); err != nil {
					return err
				}
			}
			return dst.Close()
		})
		got, err := readAll(src)
		close(stop)
		<-stopped
		test.Check(t, err)
		test.Check(t, <-written)
		test.Bytes(t, got, message)
	})
}

func TestEndOfCtxWakesARead(t *testing.T) {
	onEach(t, func(t *testing.T, src Source, dst Sink) {
		buf := make(lent, 100)
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			read := test.Started(func() error { _, err := src.Read(ctx, buf); return err })
			cancel()
			test.Is(t, <-read, ErrInterrupted)
		}
		written := test.Started(func() error { return writeAll(dst, []byte("later")) })
		for got := ""; got != "later"; {
			n, err := src.Read(t.Context(), buf)
			test.Check(t, err)
			got += string(buf[:n])
		}
		test.Check(t, <-written)
	})
}

// A write that waits for its reader is woken by the end of its ctx, where the stream lets it.
func TestEndOfCtxWakesAWrite(t *testing.T) {
	onEach(t, func(t *testing.T, src Source, dst Sink) {
		if !dst.Interruptible() { // TestWriteInAFullPipeIsInterrupted is of a pipe of Windows
			return
		}
		message := test.Pattern(1 << 20) // more than any of them holds
		ctx, cancel := context.WithCancel(t.Context())
		var n int
		written := test.Started(func() (err error) { n, err = dst.Write(ctx, message, nil); return err })
		cancel()
		test.Is(t, <-written, ErrInterrupted)
		rest := test.Started(func() error { return errors.Join(writeAll(dst, message[n:]), dst.Close()) })
		got, err := readAll(src)
		test.Check(t, err)
		test.Check(t, <-rest)
		test.Bytes(t, got, message)
	})
}

// What comes for a Read that was cancelled is for the next one, and moves with the end.
func TestReadThatIsLeftBehindKeepsItsBytes(t *testing.T) {
	test.Bounded(t)
	r, w := io.Pipe()
	src := NewSource(r)
	defer src.Close()
	test.Equal(t, src.HasDeadlines(), false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := src.Read(ctx, make(lent, 10))
	test.Is(t, err, ErrInterrupted)
	test.Equal(t, src.Settled(), false)
	_, err = w.Write([]byte("late"))
	test.Check(t, err)
	test.Eventually(t, "the read ends", src.Settled)
	test.Equal(t, string(src.Leftover()), "late")
	buf := make(lent, 3)
	for _, want := range []string{"lat", "e"} {
		n, err := src.Read(t.Context(), buf)
		test.Check(t, err)
		test.Equal(t, string(buf[:n]), want)
	}
	test.Check(t, w.Close())
	_, err = src.Read(t.Context(), buf)
	test.Equal(t, err, io.EOF)
}

func TestSeedComesFirst(t *testing.T) {
	r, w, err := fd.NewPipe(0)
	test.Check(t, err)
	src := Seeded(NewSource(r), []byte("first "))
	defer src.Close()
	test.Equal(t, string(src.Leftover()), "first ")
	_, err = w.Write([]byte("then"))
	test.Check(t, errors.Join(err, w.Close()))
	got, err := readAll(src)
	test.Check(t, err)
	test.Equal(t, string(got), "first then")
	test.Equal(t, len(src.Leftover()), 0)
}

func TestCloseEndsABlockedRead(t *testing.T) {
	onEach(t, func(t *testing.T, src Source, dst Sink) {
		read := test.Started(func() error { _, err := src.Read(t.Context(), make(lent, 10)); return err })
		_ = src.Close()
		if err := <-read; err == nil {
			t.Error("it read")
		}
	})
}

func TestWriterIsToldThatItsReaderIsGone(t *testing.T) {
	r, w, err := fd.NewPipe(0)
	test.Check(t, err)
	dst := NewSink(w)
	defer dst.Close()
	test.Check(t, r.Close())
	_, err = dst.Write(t.Context(), []byte("x"), nil)
	if !IsPeerClosed(err) {
		t.Errorf("%v doesn't count as that", err)
	}
	for _, other := range []error{nil, io.EOF, os.ErrClosed, os.ErrDeadlineExceeded} {
		test.Equal(t, IsPeerClosed(other), false)
	}
}

// brokenStream returns what it was told to.
type brokenStream struct {
	n     int
	err   error
	sizes []int // of what it was given
	all   bytes.Buffer
}

func (s *brokenStream) Read([]byte) (int, error)        { return s.n, s.err }
func (s *brokenStream) SetReadDeadline(time.Time) error { return nil }
func (s *brokenStream) Close() error                    { return nil }

func (s *brokenStream) Write(p []byte) (int, error) {
	s.sizes = append(s.sizes, len(p))
	if s.n == 0 && s.err == nil {
		return s.all.Write(p)
	}
	return s.n, s.err
}

// readOnly hides a stream's deadlines.
type readOnly struct{ io.ReadCloser }

func TestCountsThatCantBeAreErrors(t *testing.T) {
	for _, n := range []int{-1, 1 << 20} {
		s := &brokenStream{n: n}
		for _, src := range []Source{NewSource(s), NewSource(readOnly{s})} {
			if n, err := src.Read(t.Context(), make(lent, 10)); n != 0 || err == nil {
				t.Errorf("Read: %d, %v", n, err)
			}
		}
		for _, body := range [][]byte{nil, []byte("body")} {
			if n, err := NewSink(s).Write(t.Context(), []byte("head"), body); n != 0 || err == nil {
				t.Errorf("Write: %d, %v", n, err)
			}
		}
	}
	n, err := NewSink(&brokenStream{n: 2}).Write(t.Context(), []byte("head"), nil)
	test.Is(t, err, io.ErrShortWrite)
	test.Equal(t, n, 2)
}

// A stream that is past a deadline which nobody here has set stays there: trying again would never end.
func TestDeadlineOfSomebodyElseIsAnError(t *testing.T) {
	src := NewSource(&brokenStream{err: os.ErrDeadlineExceeded})
	_, err := src.Read(t.Context(), make(lent, 10))
	test.Is(t, err, os.ErrDeadlineExceeded)
	test.IsNot(t, err, ErrInterrupted)
	src.Interrupt()
	_, err = src.Read(t.Context(), make(lent, 10))
	test.Is(t, err, ErrInterrupted)
}

func TestLongWritesGoInWholePages(t *testing.T) {
	s := &brokenStream{}
	dst := NewSink(s)
	head, body := test.Pattern(100), test.Pattern(300_000)[100:]
	n, err := dst.Write(t.Context(), head, body)
	test.Check(t, err)
	test.Equal(t, n, 300_000)
	test.Equal(t, dst.Calls(), uint64(len(s.sizes)))
	for i, size := range s.sizes {
		if size > ChunkSize && size%pageSize != 0 || size > maxWrite || size == 0 {
			t.Errorf("write %d has %d bytes", i, size)
		}
	}
	test.Bytes(t, s.all.Bytes(), test.Pattern(300_000))
}

func TestChunksComeBackWhole(t *testing.T) {
	for range 3 {
		large, small := BorrowChunk(), BorrowSmallChunk()
		test.Equal(t, len(large), ChunkSize+ChunkMargin)
		test.Equal(t, len(small), smallChunkSize)
		ReturnChunk(large[:0])
		ReturnChunk(small[:1])
		ReturnChunk(make([]byte, 100)) // anybody's
	}
}
