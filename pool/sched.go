package pool

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/restart"
)

// sched is the state of a pool. It only decides: which task goes to which worker, which workers start and end, and who is
// answered. It does no I/O, takes no lock and starts no goroutine, so that a model can check it. core locks, waits and wakes
// around it.
type sched struct {
	opts    *Options
	once    bool // the pool is for one task, and one start
	backoff restart.Backoff
	random  func() float64           // in [0, 1)
	hire    func(w *worker) hands    // makes what acts for w
	report  func(w *worker, e Event) // gets what happens
	acts    []func()                 // to be done when the lock is released: they may take long

	state state
	calls int             // tasks under way
	queue []*call         // those that wait for a worker
	rooms []chan struct{} // callers that wait until there is room for their task

	workers []*worker       // all whose processes have not ended
	idle    []*worker       // those with nothing to do; the last one has been so for the shortest time
	n       [phaseEnded]int // workers in each phase
	heirs   int             // starting workers that replace one
	owed    int             // lost workers that are to be replaced at once

	lastID   uint64
	failures int       // starts that failed in a row; concurrent ones count once
	lastErr  error     // of the last failed start
	retryAt  time.Time // when to start again, after a failure
	epoch    int       // how many failures there were
	gaveUp   int       // how many of them were the last of tries, or behind it

	stats Stats
}

// state is that of the whole pool.
type state int

const (
	open     state = iota
	draining       // takes no more tasks
	closed         // ends its workers
)

// call is a task under way. Its fields are guarded by the lock of core, but for those of its caller.
type call struct {
	message *[]byte       // the caller's: head and encoded argument
	wake    chan struct{} // holds something when the state has changed

	state  callState
	id     uint64 // of this start
	worker *worker
	large  bool // its argument is sent before it is told to run
	left   bool // nobody waits for it any more
	late   bool // it is left, and its grace is over
	unsent int  // how often its argument did not get into the channel of a worker
	answer answer

	queued, assigned time.Time
}

// callState is where a call is.
type callState int

const (
	waiting callState = iota // in the queue
	sending                  // it has a worker, which does not have all of its argument
	running                  // the worker has it
	answered
)

// answer is what has become of a call.
type answer struct {
	kind kind            // of the worker's message; 0: none came
	body []byte          // of it
	buf  *[]byte         // holds body
	err  error           // the pool was closed, or has no workers
	exit *gipc.ExitError // its worker has ended
	pid  int
}

// underWay is how many tasks the pool takes.
func (s *sched) underWay() int { return s.opts.Max*s.opts.PerWorker + s.opts.Queue }

// admit takes a new call, or says why not.
func (s *sched) admit(c *call, now time.Time) error {
	switch {
	case s.state != open:
		return ErrClosed
	case s.calls >= s.underWay():
		return ErrQueueFull
	}
	s.calls++
	s.enqueue(c, len(s.queue), now)
	if s.once {
		s.state = draining
	}
	return nil
}

func (s *sched) enqueue(c *call, at int, now time.Time) {
	c.state, c.worker, c.answer, c.queued = waiting, nil, answer{}, now
	s.queue = slices.Insert(s.queue, at, c)
}

// settle does what the state calls for.
func (s *sched) settle(now time.Time) {
	s.wearByAge(now)
	for {
		if len(s.queue) > 0 {
			if w := s.pick(now); w != nil {
				s.assign(w, now)
				continue
			}
		}
		if !s.startOne(now) {
			break
		}
	}
	s.endIdle(now) // not before the tasks have their workers
	if s.state == draining {
		for len(s.idle) > 0 {
			s.retire(s.idle[0], ReasonClosed)
		}
		if s.calls == 0 {
			s.state = closed
		}
	}
	if s.state == closed {
		for _, w := range s.workers {
			s.leave(w, ReasonClosed)
			s.endWith(w, ErrClosed)
		}
	}
}

// pick returns the worker for the next task, or nil if the task has to wait.
func (s *sched) pick(now time.Time) *worker {
	if n := len(s.idle); n > 0 {
		return s.idle[n-1]
	}
	if s.opts.PerWorker == 1 || s.failures == 0 && len(s.queue) <= s.fresh(now) {
		return nil // for a fresh one; but not behind others that wait for one
	}
	var best *worker
	for _, w := range s.workers {
		if w.phase == phaseTaking && len(w.calls) < s.opts.PerWorker && (best == nil || len(w.calls) < len(best.calls)) {
			best = w
		}
	}
	return best
}

func (s *sched) assign(w *worker, now time.Time) {
	if len(w.calls) == 0 {
		s.idle = slices.DeleteFunc(s.idle, func(i *worker) bool { return i == w })
	}
	c := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.lastID++
	c.id, c.worker, c.assigned = s.lastID, w, now
	c.state = sending
	w.calls[c.id] = c
	w.tasks++
	if w.maxTasks > 0 && w.tasks >= w.maxTasks {
		s.wear(w, ReasonWorn)
	}
	if w.tasks == 1 && w.epoch == s.epoch {
		s.failures = 0 // it started after the last failure, and well
	}
	c.notify()
}

// notify wakes whoever waits for the call. Nobody has to be there yet.
func (c *call) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// woken says whether notify was called since the call was last found woken.
func (c *call) woken() bool {
	select {
	case <-c.wake:
		return true
	default:
		return false
	}
}

// mayBeSent is called when the argument of a call that was woken is about to be sent. It returns false if its worker has ended.
func (s *sched) mayBeSent(c *call) bool {
	if c.state == sending && !c.large {
		c.state = running // before the worker can answer
	}
	return c.state != answered
}

// give answers a call.
func (c *call) give(a answer) {
	c.state, c.answer = answered, a
	c.notify()
}

// maxUnsent is how many workers may end while the argument of one call is on the way to them. From then on the call counts as
// what ends them, at all its later starts too.
const maxUnsent = 3

// unsent is called when a call's argument did not get into its worker's channel, which is broken. The call is the first in the
// queue again, or, where that has happened too often, gets the worker's end as its answer.
func (s *sched) unsent(c *call, why error, now time.Time) (again bool) {
	w := c.worker
	s.brokeOff(w, why, now)
	c.unsent++
	if s.state == closed || c.unsent >= maxUnsent {
		if c.state == answered {
			c.notify() // it may have been woken once for its worker's start and end
		}
		return false
	}
	delete(w.calls, c.id)
	select {
	case <-c.wake: // it may have ended already
	default:
	}
	s.enqueue(c, 0, now)
	return true
}

// received takes a message of a worker. An error says that no worker says such a thing.
func (s *sched) received(w *worker, k kind, id uint64, body []byte, buf *[]byte, now time.Time) (kept bool, err error) {
	switch k {
	case kindReady:
		return false, fmt.Errorf("it said twice that it is ready")
	case kindWorn:
		s.wear(w, ReasonWorn)
		return false, nil
	case kindResult, kindFailure, kindDropped:
	default:
		return false, fmt.Errorf("a message of unknown kind %d", k)
	}
	c := w.calls[id]
	if c == nil || c.state == sending && !c.left || k == kindDropped && !c.left {
		return false, fmt.Errorf("an answer to task %d, which it does not run", id)
	}
	if c.left {
		c.notify()
	} else {
		c.give(answer{kind: k, body: body, buf: buf, pid: w.pid})
		kept = true
	}
	s.release(c, now)
	return kept, nil
}

// abandon takes note that nobody waits for a call any more that is with a worker. The worker must be told.
func (s *sched) abandon(c *call) { c.left = true }

// overdue is called when an abandoned call has not ended within the grace.
func (s *sched) overdue(c *call, why error) {
	w := c.worker
	if w.calls[c.id] != c {
		return
	}
	c.late, w.condemned = true, why
	if w.phase == phaseTaking {
		s.owed++
		s.retire(w, ReasonOverdue)
	} else {
		s.part(w)
	}
}

// failWaiting answers all calls that wait for a worker.
func (s *sched) failWaiting(err error) {
	for _, c := range s.queue {
		c.give(answer{err: err})
	}
	s.queue = nil
}

// leaveQueue takes a waiting call out of the queue. It returns false if it isn't there any more.
func (s *sched) leaveQueue(c *call) bool {
	i := slices.Index(s.queue, c)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

// over ends a call, and lets one in that waits for room.
func (s *sched) over(c *call, failed bool) {
	s.calls--
	s.stats.Done += btoi(!failed)
	s.stats.Failed += btoi(failed)
	s.letIn()
}

// letIn wakes one who waits for room.
func (s *sched) letIn() {
	if len(s.rooms) > 0 {
		close(s.rooms[0])
		s.rooms = s.rooms[1:]
	}
}

// closeAll answers all calls. settle ends the workers.
func (s *sched) closeAll() {
	s.state = closed
	s.failWaiting(ErrClosed)
	for _, w := range s.workers {
		for _, c := range w.calls {
			if !c.left {
				c.left = true
				c.give(answer{err: ErrClosed})
			}
		}
	}
	for _, room := range s.rooms {
		close(room)
	}
	s.rooms = nil
}

// finished says whether nothing is left to do, for good.
func (s *sched) finished() bool { return s.state == closed && len(s.workers) == 0 }

// next is when settle may have something to do although nothing happens before. Zero: never.
func (s *sched) next(now time.Time) (at time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if s.state == closed {
		return at
	}
	if len(s.idle) > 0 && s.n[phaseTaking] > s.opts.Min {
		sooner(s.idle[0].idleSince.Add(s.opts.Idle))
	}
	if s.failures > 0 && now.Before(s.retryAt) {
		sooner(s.retryAt)
	}
	if s.opts.MaxAge > 0 {
		for _, w := range s.workers {
			if w.phase == phaseTaking && w.worn == ReasonNone {
				sooner(w.expires)
			}
		}
	}
	return at
}
