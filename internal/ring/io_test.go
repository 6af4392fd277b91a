package ring

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
)

// open returns the ends of a ring, closed with the test.
func open(t testing.TB, size int) (*Source, *Sink) {
	t.Helper()
	r, w, err := New(size)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system has no memory to share")
	}
	test.Check(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.Close() }) // the test may have closed either
	return r, w
}

// lent is memory that a call reads into.
type lent []byte

func (p lent) Lend(bool) []byte { return p }
func (lent) Unlend()            {}
func (lent) Amid() bool         { return false }

// filled fills a ring to its last byte.
func filled(t testing.TB, w *Sink) {
	t.Helper()
	n, err := w.Write(t.Context(), make([]byte, w.Size()), nil)
	test.Check(t, err)
	test.Equal(t, n, w.Size())
}

// sleeping waits until an end has announced that it sleeps.
func sleeping(t testing.TB, announced func() bool) {
	t.Helper()
	test.Eventually(t, "the call sleeps", announced)
}

func (s *Source) sleeps() bool { return s.asleep.Load() != 0 }
func (s *Sink) sleeps() bool   { return s.wanted.Load() != 0 }

// A sleeper that is not woken would hang here: both sides sleep again and again, for moments, and calls are cancelled and
// interrupted at any time.
func TestNoWakeupIsLost(t *testing.T) {
	test.Bounded(t)
	for seed := range uint64(test.Scaled(24)) {
		r, w := open(t, 1)
		total := 40 * w.Size()
		written := test.Started(func() error { return writeRandomly(w, total, rand.New(rand.NewPCG(seed, 1))) })
		rng := rand.New(rand.NewPCG(seed, 2))
		buf := make([]byte, 2*w.Size())
		for at := 0; at < total; {
			ctx, cancel := briefly(rng)
			n, err := r.Read(ctx, lent(buf[:1+rng.IntN(len(buf))]))
			cancel()
			if err != nil {
				test.Is(t, err, stream.ErrInterrupted)
			}
			for i, b := range buf[:n] {
				if b != byte((at+i)*7) {
					t.Fatalf("seed %d: byte %d is wrong", seed, at+i)
				}
			}
			at += n
			pause(rng)
			if rng.IntN(5) == 0 {
				w.Interrupt()
			}
		}
		test.Check(t, <-written)
	}
}

// Where each side answers the other, nothing that comes later makes up for a wake-up that was lost.
func TestNoWakeupIsLostInAPingPong(t *testing.T) {
	test.Bounded(t)
	questions, ask := open(t, 1)
	answers, answer := open(t, 1)
	rounds := test.Scaled(10_000)
	pass := func(from *Source, to *Sink, rng *rand.Rand) error {
		buf := make([]byte, 1)
		for range rounds {
			pause(rng)
			_, err := to.Write(context.Background(), buf, nil)
			if err == nil {
				_, err = from.Read(context.Background(), lent(buf))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	echoed := test.Started(func() error { return pass(questions, answer, rand.New(rand.NewPCG(1, 1))) })
	test.Check(t, pass(answers, ask, rand.New(rand.NewPCG(2, 2))))
	test.Check(t, <-echoed)
}

func writeRandomly(w *Sink, total int, rng *rand.Rand) error {
	buf := make([]byte, 2*w.Size())
	for at := 0; at < total; {
		p := buf[:min(1+rng.IntN(len(buf)), total-at)]
		for i := range p {
			p[i] = byte((at + i) * 7)
		}
		cut := rng.IntN(len(p) + 1)
		ctx, cancel := briefly(rng)
		n, err := w.Write(ctx, p[:cut], p[cut:])
		cancel()
		if err != nil && err != stream.ErrInterrupted {
			return err
		}
		if len(p) <= w.Size() && n != 0 && n != len(p) {
			return errors.New("a part was written of what fits")
		}
		at += n
		pause(rng)
	}
	return nil
}

// briefly returns a ctx that may end soon.
func briefly(rng *rand.Rand) (context.Context, context.CancelFunc) {
	if rng.IntN(4) == 0 {
		return context.WithTimeout(context.Background(), time.Duration(rng.IntN(100))*time.Microsecond)
	}
	return context.Background(), func() {}
}

func pause(rng *rand.Rand) {
	for range rng.IntN(8) {
		runtime.Gosched()
	}
}

func TestWhatFitsIsWrittenAsAWholeOrNotAtAll(t *testing.T) {
	test.Bounded(t)
	r, w := open(t, 1)
	filled(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	put := test.Started(func() error {
		n, err := w.Write(ctx, make([]byte, 10), make([]byte, 20))
		if n != 0 {
			return errors.New("bytes were written")
		}
		return err
	})
	sleeping(t, w.sleeps)
	cancel()
	test.Equal(t, <-put, stream.ErrInterrupted)
	test.Equal(t, w.WriteNow([]byte("x"), nil), false)
	n, err := r.Read(t.Context(), lent(make([]byte, 10)))
	test.Check(t, err)
	test.Equal(t, n, 10)
	test.Equal(t, w.WriteNow(make([]byte, 11), nil), false)
	test.Equal(t, w.WriteNow(make([]byte, 4), make([]byte, 6)), true)
	n, err = w.TryWrite([]byte("x"))
	test.Equal(t, n, 0)
	test.Equal(t, err, stream.ErrInterrupted)
}

func TestMoreThanFitsGoesThroughInPieces(t *testing.T) {
	test.Bounded(t)
	r, w := open(t, 1)
	message := test.Pattern(10*w.Size() + 7)
	written := test.Started(func() error {
		n, err := w.Write(t.Context(), message[:5], message[5:])
		if err == nil && n != len(message) {
			err = io.ErrShortWrite
		}
		return errors.Join(err, w.Close())
	})
	var got []byte
	for {
		buf := make([]byte, 1000)
		n, err := r.Read(t.Context(), lent(buf))
		if err == io.EOF {
			break
		}
		test.Check(t, err)
		got = append(got, buf[:n]...)
	}
	test.Bytes(t, got, message)
	test.Check(t, <-written)
}

// The end comes behind all that was written.
func TestEndComesBehindWhatWasWritten(t *testing.T) {
	test.Bounded(t)
	r, w := open(t, 1)
	test.Equal(t, w.WriteNow([]byte("last"), nil), true)
	test.Check(t, w.Close())
	buf := make([]byte, 10)
	n, err := r.Read(t.Context(), lent(buf))
	test.Check(t, err)
	test.Equal(t, string(buf[:n]), "last")
	for range 2 {
		_, err = r.Read(t.Context(), lent(buf))
		test.Equal(t, err, io.EOF)
	}
	test.Equal(t, w.Close(), os.ErrClosed)
}

// A writer learns that the reader's end was closed: by its next write, though the reader was not asleep, and where it waits.
func TestWriterLearnsThatTheReaderIsGone(t *testing.T) {
	test.Bounded(t)
	r, w := open(t, 1)
	test.Check(t, r.Close())
	for range 2 {
		n, err := w.Write(t.Context(), []byte("x"), nil)
		test.Equal(t, n, 0)
		test.Equal(t, stream.IsPeerClosed(err), true)
	}
	test.Equal(t, w.WriteNow([]byte("x"), nil), false)
	n, err := w.TryWrite([]byte("x"))
	test.Equal(t, n, 0)
	test.Equal(t, stream.IsPeerClosed(err), true)

	r, w = open(t, 1)
	filled(t, w)
	put := test.Started(func() error { _, err := w.Write(t.Context(), []byte("x"), nil); return err })
	sleeping(t, w.sleeps)
	test.Check(t, r.Close())
	test.Equal(t, stream.IsPeerClosed(<-put), true)
}

// The same where a Read sleeps, which Close wakes: it must not say that it is awake.
func TestWriterLearnsThatTheReaderIsGoneFromItsSleep(t *testing.T) {
	test.Bounded(t)
	for range test.Scaled(300) {
		r, w := open(t, 1)
		got := test.Started(func() error { _, err := r.Read(t.Context(), lent(make([]byte, 1))); return err })
		sleeping(t, r.sleeps)
		test.Check(t, r.Close())
		if <-got == nil {
			t.Error("it read something")
		}
		test.Equal(t, w.WriteNow([]byte("x"), nil), false)
		test.Check(t, w.Close())
	}
}

func TestInterruptWakesTheCallUnderWay(t *testing.T) {
	test.Bounded(t)
	r, w := open(t, 1)
	got := test.Started(func() error { _, err := r.Read(t.Context(), lent(make([]byte, 1))); return err })
	sleeping(t, r.sleeps)
	r.Interrupt()
	test.Equal(t, <-got, stream.ErrInterrupted)

	filled(t, w)
	put := test.Started(func() error { _, err := w.Write(t.Context(), []byte("x"), nil); return err })
	sleeping(t, w.sleeps)
	test.Equal(t, w.Interrupt(), true)
	test.Equal(t, <-put, stream.ErrInterrupted)
}

// Calls under way keep the memory until they return.
func TestCloseAtAnyMomentLeavesCallsTheirMemory(t *testing.T) {
	test.Bounded(t)
	for range test.Scaled(300) {
		r, w := open(t, 1<<16)
		var calls sync.WaitGroup
		calls.Go(func() {
			buf := make([]byte, 1<<16)
			for {
				if _, err := w.Write(context.Background(), buf, buf); err != nil && err != stream.ErrInterrupted {
					return
				}
			}
		})
		calls.Go(func() {
			buf := make([]byte, 1<<16)
			for {
				if _, err := r.Read(context.Background(), lent(buf)); err != nil && err != stream.ErrInterrupted {
					return
				}
			}
		})
		for range rand.IntN(200) {
			runtime.Gosched()
		}
		if rand.IntN(2) == 0 {
			test.Check(t, r.Close())
			test.Check(t, w.Close())
		} else {
			test.Check(t, w.Close())
			test.Check(t, r.Close())
		}
		calls.Wait()
	}
}

// While both are awake nobody makes a system call to wake the other.
func TestNobodyIsWokenWhoIsAwake(t *testing.T) {
	r, w := open(t, 1<<16)
	buf := make([]byte, 64)
	for range 10_000 {
		test.Equal(t, w.WriteNow(buf, nil), true)
		_, err := r.Read(t.Context(), lent(buf))
		test.Check(t, err)
	}
	test.Equal(t, r.Wakeups()+w.Wakeups(), 0)
	sleep, err := r.fallAsleep()
	test.Check(t, err)
	test.Equal(t, sleep, true)
	test.Equal(t, w.WriteNow(buf, nil), true)
	test.Check(t, r.await(t.Context()))
	test.Equal(t, r.Wakeups(), 1)
	test.Equal(t, w.Wakeups(), 1)
	test.Equal(t, w.Calls(), 10_001)
}

// scribble writes anything into what the other side writes, until stopped.
func scribble(s shared, hers []*atomic.Uint64, seed uint64, stopped *atomic.Bool) {
	rng := rand.New(rand.NewPCG(seed, 3))
	for !stopped.Load() {
		v := rng.Uint64()
		if rng.IntN(2) == 0 { // sometimes nearly right
			v = s.written.Load() - uint64(rng.IntN(2*len(s.data)))
		}
		hers[rng.IntN(len(hers))].Store(v)
		s.asleep.Store(uint32(rng.IntN(2)))
		s.data[rng.IntN(len(s.data))] = byte(v)
		runtime.Gosched()
	}
}

// Whatever the other side writes into the memory, calls return: with bytes, because their ctx has ended, or with a typed error.
func TestHostileSideGetsNowhere(t *testing.T) {
	test.Bounded(t)
	for seed := range uint64(test.Scaled(40)) {
		r, w := open(t, 1)
		var stopped atomic.Bool
		var scribblers sync.WaitGroup
		victimReads := seed%2 == 0
		scribblers.Go(func() {
			if victimReads {
				scribble(w.shared, []*atomic.Uint64{w.written, w.wanted}, seed, &stopped)
			} else {
				scribble(r.shared, []*atomic.Uint64{r.read}, seed, &stopped)
			}
		})
		buf := make([]byte, 3*w.Size())
		rng := rand.New(rand.NewPCG(seed, 4))
		for range 300 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(200))*time.Microsecond)
			var err error
			if victimReads {
				_, err = r.Read(ctx, lent(buf[:1+rng.IntN(len(buf))]))
			} else {
				_, err = w.Write(ctx, buf[:rng.IntN(len(buf))], nil)
			}
			cancel()
			if err != nil && err != stream.ErrNonsense && err != stream.ErrInterrupted {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
		stopped.Store(true)
		scribblers.Wait()
	}
}

func TestWakingAllocatesNothing(t *testing.T) {
	if test.RaceEnabled() {
		t.Skip("the race detector allocates")
	}
	r, w := open(t, 1)
	buf := make([]byte, 8)
	var mem stream.Lender = lent(buf)
	ctx := t.Context()
	n := testing.AllocsPerRun(100, func() {
		r.asleep.Store(1) // as if it slept
		test.Equal(t, w.WriteNow(buf, nil), true)
		test.Check(t, r.await(ctx))
		_, err := r.Read(ctx, mem)
		test.Check(t, err)
	})
	test.Equal(t, n, 0)
}
