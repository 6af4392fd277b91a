package work

import (
	"errors"
	"sync"
	"time"
)

// Locked is a Conn whose Send may be called from several goroutines.
func Locked[T any](c Conn[T]) Conn[T] { return &locked[T]{Conn: c} }

type locked[T any] struct {
	Conn[T]
	mu sync.Mutex
}

func (l *locked[T]) Send(v T) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Conn.Send(v)
}

// Parallel is a Session that shares its messages among others, each with a goroutine.
type Parallel []Session

// Run implements Session.
func (p Parallel) Run(n int) (Round, error) {
	began := time.Now()
	next := make(chan Session, len(p))
	for _, s := range p {
		next <- s
	}
	err := InParallel(len(p), max(n, len(p)), func(share int) error {
		_, err := (<-next).Run(share)
		return err
	})
	return Round{Total: time.Since(began)}, err
}

// Close implements Session.
func (p Parallel) Close() error {
	var errs []error
	for _, s := range p {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Turns is a Session of one function, called for each message.
type Turns func() error

// Run implements Session.
func (t Turns) Run(n int) (Round, error) {
	began := time.Now()
	err := repeat(n, t)
	return Round{Total: time.Since(began)}, err
}

// Close implements Session.
func (Turns) Close() error { return nil }

// Closing is a Session with something more to close behind it.
func Closing(s Session, then func() error) Session { return &closing{s, then} }

type closing struct {
	Session
	then func() error
}

func (c *closing) Close() error { return errors.Join(c.Session.Close(), c.then()) }
