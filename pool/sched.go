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
	tries   int // failed starts in a row until tasks get a *StartError
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

// phase is that of a worker.
type phase int

const (
	phaseStarting phase = iota // until its function can take tasks
	phaseTaking                // tasks
	phaseLeaving               // takes no more; ends, or is to end when its tasks have
	phaseEnded
)

// hands act for a worker. Their methods don't block.
type hands interface {
	begin()
	end(why error)   // asks the worker to end, or stops its start
	broke(why error) // its channel can't be used: it ends soon, or is killed
	kill(why error)  // at once
}

// worker is what the pool knows of one. Its fields are guarded by the lock of core.
type worker struct {
	hands
	phase      phase
	epoch      int // of sched, when its start began
	pid        int
	channel    *gipc.Duplex[[]byte, []byte] // set before it takes tasks
	receiving  chan struct{}                // holds something while a goroutine takes what the worker says
	calls      map[uint64]*call             // on it, those that nobody waits for any more included
	tasks      int                          // it has had
	maxTasks   int                          // 0: any number
	expires    time.Time                    // zero: never
	idleSince  time.Time
	readySince time.Time

	worn      Reason  // why another worker is to take over
	heir      *worker // that will, once it has started
	replaces  *worker // whose heir it is
	condemned error   // why it is to be killed, when nobody waits for a task on it any more
	told      bool    // to end
	reason    Reason  // why it leaves
}

// call is a task under way. Its fields are guarded by the lock of core, but for those of its caller.
type call struct {
	message *[]byte       // the caller's: head and encoded argument
	wake    chan struct{} // holds something when the state has changed

	state  callState
	id     uint64 // of this start
	worker *worker
	large  bool // its argument is sent before it is told to run
	left   bool // nobody waits for it any more
	unsent int  // how often its argument did not get into the channel of a worker
	answer answer

	queued, assigned time.Time
}

// callState is where a call is.
type callState int

const (
	waiting callState = iota // in the queue
	sending                  // its argument is on the way to its worker
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
	return nil
}

func (s *sched) enqueue(c *call, at int, now time.Time) {
	c.state, c.worker, c.answer, c.queued = waiting, nil, answer{}, now
	s.queue = slices.Insert(s.queue, at, c)
}

// settle does what the state calls for.
func (s *sched) settle(now time.Time) {
	s.endIdle(now)
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
	if s.state == draining && s.calls == 0 {
		s.state = closed
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
	fresh := s.coming() > 0 || s.n[phaseTaking] < s.opts.Max && s.mayStart(now)
	if s.opts.PerWorker == 1 || fresh && s.failures == 0 {
		return nil
	}
	var best *worker
	for _, w := range s.workers {
		if w.phase == phaseTaking && len(w.calls) < s.opts.PerWorker && (best == nil || len(w.calls) < len(best.calls)) {
			best = w
		}
	}
	return best
}

// coming is how many workers start that replace nobody.
func (s *sched) coming() int { return s.n[phaseStarting] - s.heirs }

func (s *sched) mayStart(now time.Time) bool {
	if s.state == closed || s.n[phaseLeaving] > s.opts.Max {
		return false
	}
	return s.failures == 0 || s.n[phaseStarting] == 0 && !now.Before(s.retryAt)
}

// lacks says whether there should be more workers.
func (s *sched) lacks() bool {
	there := s.n[phaseTaking] + s.coming()
	if s.state == closed || there >= s.opts.Max {
		return false
	}
	return len(s.queue) > s.coming() || s.state == open && (there < s.opts.Min || s.owed > 0)
}

// startOne starts a worker, if one is lacking or to be replaced, and may be started now.
func (s *sched) startOne(now time.Time) bool {
	if s.n[phaseTaking]+s.coming() >= s.opts.Max {
		s.owed = 0
	}
	if !s.mayStart(now) {
		return false
	}
	if s.lacks() {
		s.owed = max(s.owed-1, 0)
		s.start(nil)
		return true
	}
	if s.state != open || s.n[phaseLeaving] == s.opts.Max {
		return false
	}
	for _, w := range s.workers {
		if w.phase == phaseTaking && w.worn != ReasonNone && w.heir == nil {
			s.start(w)
			return true
		}
	}
	return false
}

func (s *sched) start(replaces *worker) {
	w := &worker{epoch: s.epoch, calls: map[uint64]*call{}, receiving: make(chan struct{}, 1), replaces: replaces}
	if replaces != nil {
		replaces.heir = w
		s.heirs++
	}
	w.hands = s.hire(w)
	s.workers = append(s.workers, w)
	s.n[phaseStarting]++
	s.acts = append(s.acts, w.begin)
}

// ready is called when a worker can take tasks, over its channel.
func (s *sched) ready(w *worker, now time.Time) {
	if w.phase != phaseStarting {
		return // it was told to end meanwhile
	}
	s.n[phaseStarting]--
	s.n[phaseTaking]++
	w.phase, w.readySince = phaseTaking, now
	if n := s.opts.MaxTasks; n > 0 {
		w.maxTasks = n - int(s.random()*float64(n)/10)
	}
	if d := s.opts.MaxAge; d > 0 {
		w.expires = now.Add(d - time.Duration(s.random()*float64(d)/10))
	}
	s.beIdle(w, now)
	if old := w.replaces; old != nil {
		s.unlink(w)
		s.retire(old, old.worn)
	}
	s.report(w, Event{Kind: EventReady})
}

// unlink makes w nobody's heir.
func (s *sched) unlink(w *worker) {
	if w.replaces != nil {
		w.replaces.heir, w.replaces = nil, nil
		s.heirs--
	}
}

func (s *sched) beIdle(w *worker, now time.Time) {
	w.idleSince = now
	s.idle = append(s.idle, w)
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
	c.state = running
	if c.large {
		c.state = sending
	}
	w.calls[c.id] = c
	w.tasks++
	if w.worn == ReasonNone && w.tasks == w.maxTasks {
		w.worn = ReasonWorn
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

// give answers a call.
func (c *call) give(a answer) {
	c.state, c.answer = answered, a
	c.notify()
}

// release frees what a call takes of its worker.
func (s *sched) release(c *call, now time.Time) {
	w := c.worker
	if w.calls[c.id] != c {
		return
	}
	delete(w.calls, c.id)
	switch {
	case w.phase == phaseTaking && len(w.calls) == 0:
		s.beIdle(w, now)
	case w.phase == phaseLeaving:
		s.part(w)
	}
}

// retire makes a worker take no more tasks. It ends when those that it has have ended.
func (s *sched) retire(w *worker, why Reason) {
	s.leave(w, why)
	s.part(w)
}

func (s *sched) leave(w *worker, why Reason) {
	if w.phase >= phaseLeaving {
		return
	}
	if w.phase == phaseTaking {
		s.stats.Replaced += btoi(why == ReasonWorn || why == ReasonReplaced || why == ReasonOverdue)
	}
	s.n[w.phase]--
	s.n[phaseLeaving]++
	if w.phase == phaseStarting {
		s.unlink(w)
	}
	w.phase, w.reason = phaseLeaving, why
	s.idle = slices.DeleteFunc(s.idle, func(i *worker) bool { return i == w })
	if w.heir != nil {
		s.unlink(w.heir)
	}
}

func btoi(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// part ends a leaving worker when it has nothing more to do.
func (s *sched) part(w *worker) {
	switch {
	case w.condemned != nil && !w.waitedFor():
		s.kill(w, w.condemned)
	case len(w.calls) == 0:
		s.endWith(w, nil)
	}
}

// waitedFor says whether anybody waits for a task on w.
func (w *worker) waitedFor() bool {
	for _, c := range w.calls {
		if !c.left {
			return true
		}
	}
	return false
}

func (s *sched) endWith(w *worker, why error) {
	if !w.told {
		w.told = true
		s.acts = append(s.acts, func() { w.end(why) })
	}
}

func (s *sched) kill(w *worker, why error) {
	w.told = true
	s.acts = append(s.acts, func() { w.hands.kill(why) })
}

// maxUnsent is how many workers may end while the argument of one call is on the way to them, before the call counts as what
// ends them.
const maxUnsent = 3

// unsent is called when a call's argument did not get into its worker's channel, which is broken. The call is the first in the
// queue again, or, where that has happened too often, gets the worker's end as its answer.
func (s *sched) unsent(c *call, why error, now time.Time) (again bool) {
	w := c.worker
	s.brokeOff(w, why, now)
	c.unsent++
	if s.state == closed || c.unsent == maxUnsent {
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
		if w.worn == ReasonNone {
			w.worn = ReasonWorn
		}
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
func (s *sched) abandon(c *call) {
	c.left = true
	if c.worker.phase == phaseLeaving {
		s.part(c.worker)
	}
}

// overdue is called when an abandoned call has not ended within the grace.
func (s *sched) overdue(c *call, why error) {
	w := c.worker
	if w.calls[c.id] != c {
		return
	}
	w.condemned = why
	if w.phase == phaseTaking {
		s.owed++
		s.retire(w, ReasonOverdue)
	} else {
		s.part(w)
	}
}

// ended is called when a worker's process is gone, or never came to be.
func (s *sched) ended(w *worker, exit *gipc.ExitError, err error, now time.Time) {
	was := w.phase
	s.n[was]--
	w.phase = phaseEnded
	s.workers = slices.DeleteFunc(s.workers, func(o *worker) bool { return o == w })
	s.idle = slices.DeleteFunc(s.idle, func(o *worker) bool { return o == w })
	if was == phaseStarting {
		s.unlink(w)
	}
	if w.heir != nil {
		s.unlink(w.heir)
	}
	for id, c := range w.calls {
		delete(w.calls, id)
		if c.left {
			c.notify()
		} else {
			c.give(answer{exit: exit, pid: w.pid})
		}
	}
	if was == phaseStarting || was == phaseTaking || w.reason == ReasonLost && w.tasks == 0 {
		s.lost(w, err, now)
	}
	s.report(w, Event{Kind: EventEnded, Reason: w.reason, Err: err})
}

// brokeOff is called when the channel of a worker can't be used any more. Its process ends soon, or is killed.
func (s *sched) brokeOff(w *worker, why error, now time.Time) {
	if !w.told {
		s.acts = append(s.acts, func() { w.broke(why) })
	}
	if w.phase != phaseTaking {
		return
	}
	s.leave(w, ReasonLost)
	if w.tasks > 0 {
		s.lost(w, why, now)
	}
}

// healthy is how long a worker without a task must have been ready, so that its end is the first failure in a row.
const healthy = 10 * time.Second

// lost takes note of a worker that ended without being told to.
func (s *sched) lost(w *worker, err error, now time.Time) {
	if w.tasks > 0 {
		w.reason = ReasonLost
		s.stats.Lost++
		s.owed++
		return
	}
	w.reason = ReasonNotStarted
	if !w.readySince.IsZero() {
		w.reason = ReasonLost
		s.stats.Lost++
		if now.Sub(w.readySince) >= healthy {
			s.failures = 0
		}
	}
	s.lastErr = err
	if w.epoch != s.epoch {
		return // it began before another one failed, and counts with that
	}
	s.epoch++
	s.retryAt = now.Add(s.backoff.Delay(s.failures, s.random()))
	s.failures++
	if s.failures < s.tries {
		return
	}
	s.gaveUp++
	if s.n[phaseTaking] == 0 {
		s.failWaiting(s.startError())
	}
}

func (s *sched) startError() error { return &StartError{Failures: s.failures, Err: s.lastErr} }

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

// close answers all calls. settle ends the workers.
func (s *sched) close() {
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

func (s *sched) endIdle(now time.Time) {
	for len(s.idle) > 0 && s.n[phaseTaking] > s.opts.Min && now.Sub(s.idle[0].idleSince) >= s.opts.Idle {
		s.retire(s.idle[0], ReasonIdle)
	}
}

func (s *sched) wearByAge(now time.Time) {
	if s.opts.MaxAge == 0 {
		return
	}
	for _, w := range s.workers {
		if w.phase == phaseTaking && w.worn == ReasonNone && !now.Before(w.expires) {
			w.worn = ReasonWorn
		}
	}
}

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
