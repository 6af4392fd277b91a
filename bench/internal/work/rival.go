package work

import (
	"errors"
	"fmt"
	"time"
)

// A Rival is one way to do the work: gipc, a floor, or another library.
type Rival interface {
	// Name stands in tables and plots.
	Name() string

	// About says in a few words how the rival is set up.
	About() string

	// Version is that of the library, or of its language where it is part of it. "" where it can't be told.
	Version() string

	// Open makes the rival ready for a workload: its child runs when Open returns. It returns ErrNotOffered if the rival
	// doesn't do such a thing, and a *MissingError if a tool isn't installed. The caller closes the Session.
	Open(w Workload) (Session, error)
}

// A Session is a rival that is ready. One goroutine uses it.
type Session interface {
	// Run moves n messages and returns when the other side has all of them.
	Run(n int) (Round, error)

	// Close ends the child and waits for it.
	Close() error
}

// Round is what one Run took.
type Round struct {
	Total    time.Duration
	P50, P99 time.Duration // of one round trip; 0 for other workloads
}

// ErrNotOffered says that a rival doesn't do what a workload is about.
var ErrNotOffered = errors.New("not offered")

// MissingError says that a tool is not installed.
type MissingError struct {
	Tool, Install string
	Err           error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed (%v). To install it: %s", e.Tool, e.Err, e.Install)
}

func (e *MissingError) Unwrap() error { return e.Err }
