package pool

import (
	"slices"
	"time"

	"github.com/go-gipc/gipc"
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
	kill(why error)  // at once; only of a worker that has had a task
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
	condemned error   // why it is to be killed, when none of its tasks has time left
	told      bool    // to end
	reason    Reason  // why it leaves
}

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

// wear makes another worker take over from w.
func (s *sched) wear(w *worker, why Reason) {
	if w.phase <= phaseTaking && w.worn == ReasonNone {
		w.worn = why
	}
}

// keep undoes what Replace has asked for, where no other worker has taken over.
func (s *sched) keep(w *worker) {
	if w.phase > phaseTaking || w.worn != ReasonReplaced {
		return
	}
	w.worn = ReasonNone
	if w.heir != nil {
		s.retire(w.heir, ReasonReplaced)
	}
}

func (s *sched) beIdle(w *worker, now time.Time) {
	w.idleSince = now
	s.idle = append(s.idle, w)
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

// fresh is how many workers start that replace nobody, or could be started now.
func (s *sched) fresh(now time.Time) int {
	if s.mayStart(now) {
		return max(s.coming(), s.opts.Max-s.n[phaseTaking])
	}
	return s.coming()
}

// coming is how many workers start that replace nobody.
func (s *sched) coming() int { return s.n[phaseStarting] - s.heirs }

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
	case w.condemned != nil && !w.hasTime():
		s.killNow(w, w.condemned)
	case len(w.calls) == 0:
		s.endWith(w, nil)
	}
}

// hasTime says whether any task on w may go on: somebody waits for it, or its grace is not over.
func (w *worker) hasTime() bool {
	for _, c := range w.calls {
		if !c.late {
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

func (s *sched) killNow(w *worker, why error) {
	w.told = true
	s.acts = append(s.acts, func() { w.kill(why) })
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
	switch {
	case was == phaseStarting || was == phaseTaking || w.reason == ReasonLost && w.tasks == 0:
		s.lost(w, err, now)
	case !w.told && w.reason != ReasonLost: // it was to end when its tasks had
		w.reason = ReasonLost
		s.stats.Lost++
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
	if s.failures < tries && !s.once {
		return
	}
	s.gaveUp++
	if s.n[phaseTaking] == 0 {
		s.failWaiting(s.startError())
	}
}

// tries is how many starts have to fail in a row until tasks get a *StartError.
const tries = 3

func (s *sched) startError() error { return &StartError{Failures: s.failures, Err: s.lastErr} }

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
		if w.phase == phaseTaking && !now.Before(w.expires) {
			s.wear(w, ReasonWorn)
		}
	}
}
