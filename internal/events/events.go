// Package events hands events to user code. It has a goroutine of its own for that, so that what happens never waits for who
// is told.
package events

import "time"

// Room is how many events wait for slow user code before further ones are dropped.
const Room = 1024

// Queue delivers events of type E in order. Its methods are for one goroutine at a time. The methods of a nil Queue do nothing.
type Queue[E any] struct {
	waiting  chan E
	returned chan struct{} // holds something when a call of user code has returned
	done     chan struct{} // closed when all events are delivered
	dropped  int
}

// NewQueue returns a Queue that calls each of sinks with each event. It holds a goroutine until all events before Close are
// delivered. Without sinks it returns nil.
func NewQueue[E any](sinks ...func(E)) *Queue[E] {
	if len(sinks) == 0 {
		return nil
	}
	q := &Queue[E]{make(chan E, Room), make(chan struct{}, 1), make(chan struct{}), 0}
	go func() {
		defer close(q.done)
		for e := range q.waiting {
			for _, sink := range sinks {
				sink(e)
				q.noteReturn()
			}
		}
	}()
	return q
}

func (q *Queue[E]) noteReturn() {
	select {
	case q.returned <- struct{}{}:
	default:
	}
}

// Report queues the event that build returns, or drops it where too many wait. Build is told how many were dropped just before.
func (q *Queue[E]) Report(build func(dropped int) E) {
	if q == nil {
		return
	}
	select {
	case q.waiting <- build(q.dropped):
		q.dropped = 0
	default:
		q.dropped++
	}
}

// Close says that no event follows. It waits for nothing.
func (q *Queue[E]) Close() {
	if q != nil {
		close(q.waiting)
	}
}

// Finish reports the last event, and waits until all are delivered. It gives up when one call of user code takes longer than
// patience: that code may hang, or be waiting for the caller itself.
func (q *Queue[E]) Finish(patience time.Duration, build func(dropped int) E) {
	if q == nil {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	last := build(q.dropped)
	for waiting := q.waiting; ; {
		select {
		case waiting <- last:
			close(waiting)
			waiting = nil
		case <-q.returned:
			timer.Reset(patience)
		case <-q.done:
			return
		case <-timer.C:
			if waiting != nil {
				close(waiting)
			}
			return
		}
	}
}
