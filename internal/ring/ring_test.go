package ring

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
)

// sides returns both sides of a ring over memory of this process.
func sides(capacity int) (*producer, *consumer) {
	words := make([]uint64, (headerMin+capacity)/8) // aligned
	memory := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), headerMin+capacity)
	s := over(memory, headerMin)
	p, c := newProducer(s), newConsumer(s)
	return &p, &c
}

// What is copied in comes out, whatever the pieces are, and each side knows how much there is.
func TestBytesComeOutAsTheyWentIn(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p, c := sides(64)
		if seed%2 == 1 { // also where the indexes overflow
			p.written.Store(^uint64(0) - 100)
			c.read.Store(^uint64(0) - 100)
			*p, *c = newProducer(p.shared), newConsumer(c.shared)
		}
		var in, out []byte
		for range 2000 {
			free, err := p.room(rng.IntN(65))
			test.Check(t, err)
			n, err := c.available()
			test.Check(t, err)
			test.Equal(t, n, len(in)-len(out))
			if known, err := p.room(64); err != nil || known != 64-n || free > known {
				t.Fatalf("room for %d, then %d bytes (%v), %d are used", free, known, err, n)
			}
			if rng.IntN(2) == 0 {
				b := test.Pattern(len(in) + 64)[len(in):][:rng.IntN(free+1)]
				p.copyIn(b)
				p.publish()
				in = append(in, b...)
			} else {
				b := make([]byte, rng.IntN(n+1))
				c.copyOut(b)
				out = append(out, b...)
			}
			test.Bytes(t, out, in[:len(out)])
		}
	}
}

// Whoever sleeps is woken by exactly one call of the other side: the one that brought what it waits for.
func TestSleeperIsWokenOnce(t *testing.T) {
	p, c := sides(64)
	sleep, err := c.fallAsleep()
	test.Check(t, err)
	test.Equal(t, sleep, true)
	p.copyIn([]byte("x"))
	test.Equal(t, p.publish(), true)
	p.copyIn([]byte("y"))
	test.Equal(t, p.publish(), false)
	sleep, err = c.fallAsleep()
	test.Check(t, err)
	test.Equal(t, sleep, false)
	p.copyIn([]byte("z"))
	test.Equal(t, p.publish(), false)

	p.copyIn(make([]byte, 61))
	p.publish()
	sleep, err = p.want(32)
	test.Check(t, err)
	test.Equal(t, sleep, true)
	test.Equal(t, c.copyOut(make([]byte, 31)), false)
	test.Equal(t, c.copyOut(make([]byte, 1)), true)
	test.Equal(t, c.copyOut(make([]byte, 1)), false)
	sleep, err = p.want(32)
	test.Check(t, err)
	test.Equal(t, sleep, false)
	test.Equal(t, c.copyOut(make([]byte, 1)), false)
}

// An index that can't be is an error, and nothing outside of the ring is touched, whatever the other side writes and when.
func TestNonsenseIsAnError(t *testing.T) {
	p, c := sides(64)
	for _, written := range []uint64{65, 1 << 40, ^uint64(0)} {
		c.written.Store(written)
		_, err := c.available()
		test.Is(t, err, stream.ErrNonsense)
		_, err = c.fallAsleep()
		test.Is(t, err, stream.ErrNonsense)
	}
	c.written.Store(0)
	for _, read := range []uint64{1, 1 << 40, ^uint64(64) - 1} {
		p.read.Store(read)
		_, err := p.room(1)
		test.Is(t, err, stream.ErrNonsense)
		_, err = p.want(1)
		test.Is(t, err, stream.ErrNonsense)
	}
}

// FuzzHostileSide plays one side against memory that the fuzzer writes, also between the steps of a call.
func FuzzHostileSide(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 250, 0, 0, 9, 9, 9})
	f.Add(bytes.Repeat([]byte{5, 255}, 40))
	f.Fuzz(func(t *testing.T, moves []byte) {
		p, c := sides(32)
		next := func() uint64 {
			if len(moves) == 0 {
				return 0
			}
			b := moves[0]
			moves = moves[1:]
			return uint64(int8(b))
		}
		for len(moves) > 0 {
			switch next() & 7 {
			case 0:
				p.read.Store(next())
			case 1:
				c.written.Store(next())
			case 2:
				p.wanted.Store(next())
			case 3:
				p.asleep.Store(uint32(next()))
			case 4, 5:
				free, err := p.room(int(next() & 31))
				if err != nil {
					continue
				}
				if free < 0 || free > 32 {
					t.Fatalf("room for %d", free)
				}
				p.copyIn(make([]byte, free))
				p.publish()
			default:
				n, err := c.available()
				if err != nil {
					continue
				}
				if n < 0 || n > 32 {
					t.Fatalf("%d bytes available", n)
				}
				c.copyOut(make([]byte, n))
			}
		}
	})
}

// A Read was about to sleep, and found something, when Close came: Close is through, and the Read still inside.
func TestReadThatFindsSomethingLeavesTheWordOfClose(t *testing.T) {
	test.Bounded(t)
	r, w := open(t, 1)
	test.Equal(t, w.WriteNow([]byte("x"), nil), true)
	r.mem.closed.Store(true)
	r.asleep.Store(1)
	test.Check(t, r.sleep(t.Context()))
	test.Equal(t, r.sleeps(), true)
	r.mem.closed.Store(false)
	test.Check(t, errors.Join(r.Close(), w.Close()))
}

// Where a side goes to sleep at the instant at which the other one brings what it waits for, one of the two sees the other.
func TestWhoFallsAsleepIsSeenOrSees(t *testing.T) {
	r, w := open(t, 1)
	fill := make([]byte, w.Size())
	rounds := uint64(test.Scaled(400_000))
	for name, side := range map[string]struct {
		before, bring, sleep func() bool
	}{
		"the reader": {
			before: func() bool { return false },
			bring:  func() bool { w.copyIn(fill[:1]); return w.publish() },
			sleep:  func() bool { sleep, err := r.fallAsleep(); return sleep && err == nil },
		},
		"the writer": {
			before: func() bool { w.copyIn(fill); return w.publish() },
			bring:  func() bool { return r.copyOut(fill) },
			sleep:  func() bool { sleep, err := w.want(len(fill)); return sleep && err == nil },
		},
	} {
		var begun, ended atomic.Uint64
		var woken bool
		lost := 0
		brought := test.Started(func() error {
			for round := uint64(1); round <= rounds; round++ {
				await(&begun, round)
				woken = side.bring()
				ended.Store(round)
			}
			return nil
		})
		for round := uint64(1); round <= rounds; round++ {
			side.before()
			begun.Store(round)
			for range round % 64 {
				ended.Load() // takes the moment that the other side needs to begin
			}
			asleep := side.sleep()
			await(&ended, round)
			if asleep && !woken {
				lost++
			}
			r.asleep.Store(0)
			w.wanted.Store(0)
			n, err := r.available()
			test.Check(t, err)
			r.copyOut(fill[:n])
		}
		test.Check(t, <-brought)
		if lost > 0 {
			t.Errorf("%s sleeps for ever in %d of %d rounds", name, lost, rounds)
		}
	}
}

// await spins until a round has come.
func await(rounds *atomic.Uint64, round uint64) {
	for spins := 0; rounds.Load() < round; spins++ {
		if spins > 1000 { // there may be one processor
			runtime.Gosched()
		}
	}
}
