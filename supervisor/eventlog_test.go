package supervisor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// eventLog collects events and wakes those who wait for some.
type eventLog struct {
	mu      sync.Mutex
	events  []Event
	changed chan struct{} // closed and replaced at each event
}

func newEventLog() *eventLog { return &eventLog{changed: make(chan struct{})} }

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *eventLog) get() ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events), l.changed
}

// await waits until done says so of the events up to now.
func (l *eventLog) await(t testing.TB, what string, done func([]Event) bool) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		events, changed := l.get()
		if done(events) {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("waiting for: %s; there was %v", what, events)
		}
	}
}

// awaitKind waits until there were n events of a kind about a child, and returns the last of these.
func (l *eventLog) awaitKind(t testing.TB, kind EventKind, name string, n int) (found Event) {
	t.Helper()
	l.await(t, fmt.Sprintf("%d times %v of %s", n, kind, name), func(events []Event) bool {
		seen := 0
		for _, e := range events {
			if e.Kind == kind && e.Child == name {
				if seen++; seen == n {
					found = e
				}
			}
		}
		return seen >= n
	})
	return found
}

func (l *eventLog) count(kind EventKind) (n int) {
	events, _ := l.get()
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// superviseIt makes a supervisor that ends with the test.
func superviseIt(t testing.TB, o Options) (*Supervisor, *eventLog) {
	t.Helper()
	log := newEventLog()
	o.OnEvent = log.add
	s := New(context.Background(), &o)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Stop(ctx) // most have ended
	})
	return s, log
}
