package work

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-gipc/gipc/bench/internal/record"
)

// A Conn carries values between a parent and its child, in both directions.
type Conn[T any] interface {
	Send(v T) error
	Recv(v *T) error // may reuse the memory of *v; io.EOF at the end
	Close() error
}

// A Shape makes messages of one type that carry a number, and reads the number.
type Shape[T any] struct {
	Make   func(number uint64) T
	Number func(T) uint64
}

// The numbers of messages that the parent sends. The child answers the last one with the count of all.
const (
	plain = 0
	last  = 1
)

// RawShape is that of byte slices of one size.
func RawShape(size int) Shape[[]byte] {
	return Shape[[]byte]{
		Make: func(number uint64) []byte {
			b := make([]byte, size)
			binary.LittleEndian.PutUint64(b, number)
			return b
		},
		Number: func(b []byte) uint64 { return binary.LittleEndian.Uint64(b) },
	}
}

// RecordShape is that of records.
var RecordShape = Shape[record.Record]{
	Make:   record.Sample,
	Number: func(r record.Record) uint64 { return r.ID },
}

// Serve is the child's side: it counts messages and answers the last one of a run, or answers each. It returns Recv's error.
func Serve[T any](w Workload, c Conn[T], s Shape[T]) error {
	var v T
	for count := uint64(1); ; count++ {
		if err := c.Recv(&v); err != nil {
			return err
		}
		answer := v
		if w.Kind != Echo && w.Kind != Spawn {
			if s.Number(v) != last {
				continue
			}
			answer = s.Make(count)
			count = 0
		}
		if err := c.Send(answer); err != nil {
			return err
		}
	}
}

// NewSession is the parent's side of Serve. The Session closes c.
func NewSession[T any](w Workload, c Conn[T], s Shape[T]) Session {
	if w.Kind == Echo {
		return &echoes[T]{c: c, shape: s, message: s.Make(last)}
	}
	return &stream[T]{c: c, shape: s, senders: max(1, w.Senders), message: s.Make(plain), end: s.Make(last)}
}

type stream[T any] struct {
	c            Conn[T]
	shape        Shape[T]
	senders      int
	message, end T
	answer       T
}

func (s *stream[T]) Run(n int) (Round, error) {
	began := time.Now()
	if err := s.send(n - 1); err != nil {
		return Round{}, err
	}
	if err := s.c.Send(s.end); err != nil {
		return Round{}, err
	}
	if err := s.c.Recv(&s.answer); err != nil {
		return Round{}, err
	}
	if got := s.shape.Number(s.answer); got != uint64(n) {
		return Round{}, fmt.Errorf("the child has got %d messages of %d", got, n)
	}
	return Round{Total: time.Since(began)}, nil
}

func (s *stream[T]) send(n int) error {
	if s.senders == 1 {
		return repeat(n, func() error { return s.c.Send(s.message) })
	}
	return InParallel(s.senders, n, func(share int) error {
		return repeat(share, func() error { return s.c.Send(s.message) })
	})
}

func (s *stream[T]) Close() error { return s.c.Close() }

func repeat(n int, f func() error) error {
	for range n {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// InParallel calls f in each of some goroutines with its share of n, and returns one of the errors.
func InParallel(goroutines, n int, f func(share int) error) error {
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() { errs[i] = f((n + i) / goroutines) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

type echoes[T any] struct {
	c       Conn[T]
	shape   Shape[T]
	message T
	answer  T
	times   []time.Duration
}

func (e *echoes[T]) Run(n int) (Round, error) {
	e.times = slices.Grow(e.times[:0], n)
	began := time.Now()
	start := began
	for range n {
		if err := e.c.Send(e.message); err != nil {
			return Round{}, err
		}
		if err := e.c.Recv(&e.answer); err != nil {
			return Round{}, err
		}
		now := time.Now()
		e.times = append(e.times, now.Sub(start))
		start = now
	}
	r := Round{Total: start.Sub(began)}
	if got := e.shape.Number(e.answer); got != last {
		return Round{}, fmt.Errorf("the child has answered %d, not %d", got, last)
	}
	r.P50, r.P99 = Percentiles(e.times)
	return r, nil
}

func (e *echoes[T]) Close() error { return e.c.Close() }

// Percentiles sorts times and returns the median and the one that 99 of a hundred don't exceed.
func Percentiles(times []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(times)
	at := func(percent int) time.Duration { return times[(len(times)*percent+99)/100-1] }
	return at(50), at(99)
}
