package pool

import (
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
)

var (
	modelSeed = flag.Uint64("model.seed", 0, "seed of TestScheduling; 0: a new one")
	modelRuns = flag.Int("model.runs", 300, "how many random pools TestScheduling runs")
)

// world is a pool's surroundings: workers and callers that do anything at any time, in one goroutine.
type world struct {
	t     *testing.T
	r     *rand.Rand
	s     *sched
	now   time.Time
	begun []*puppet // workers whose process runs
	calls []*call   // whose Do has not returned
	tried int       // starts

	retried map[*call]int // how often a call was started again
}

// puppet is a worker's process.
type puppet struct {
	w            *worker
	world        *world
	told, killed bool
}

func (p *puppet) begin()      { p.world.begun = append(p.world.begun, p); p.world.tried++ }
func (p *puppet) end(error)   { p.told = true }
func (p *puppet) broke(error) { p.killed = true }
func (p *puppet) kill(error) {
	p.world.check(!p.w.hasTime(), "a task is killed that has time")
	p.killed = true
}

func newWorld(t *testing.T, r *rand.Rand) *world {
	o := &Options{
		Max: 1 + r.IntN(4), PerWorker: 1 + r.IntN(3), Queue: r.IntN(6), Retries: r.IntN(3),
		Idle: time.Duration(1+r.IntN(1000)) * time.Millisecond,
	}
	o.Min = r.IntN(o.Max + 1)
	if r.IntN(2) == 0 {
		o.MaxTasks = 1 + r.IntN(5)
	}
	if r.IntN(2) == 0 {
		o.MaxAge = time.Duration(1+r.IntN(3000)) * time.Millisecond
	}
	w := &world{t: t, r: r, now: time.Unix(0, 0), retried: map[*call]int{}}
	w.s = &sched{opts: o, random: r.Float64, hire: func(k *worker) hands { return &puppet{w: k, world: w} }, report: func(*worker, Event) {}}
	w.s.backoff.SetDefaults(healthy)
	return w
}

// settle does what core.unlock does, and checks the state.
func (w *world) settle() {
	s := w.s
	s.settle(w.now)
	acts := s.acts
	s.acts = nil
	for _, act := range acts {
		act()
	}
	count := [phaseEnded]int{}
	heirs := 0
	for _, k := range s.workers {
		count[k.phase]++
		if k.replaces != nil {
			heirs++
			w.check(k.phase == phaseStarting && k.replaces.heir == k, "an heir that isn't")
		}
		w.check(len(k.calls) <= s.opts.PerWorker, "more tasks than slots")
		w.check(slices.Contains(s.idle, k) == (k.phase == phaseTaking && len(k.calls) == 0), "idle or not")
		for id, c := range k.calls {
			w.check(c.id == id && c.worker == k && (c.left || c.state == sending || c.state == running || s.state == closed), "a task that isn't there")
		}
	}
	for _, p := range w.begun {
		w.check(p.w.condemned == nil || p.w.hasTime() || p.killed || p.told, "a worker should have been killed")
	}
	w.check(count == s.n && heirs == s.heirs, "wrong counts")
	w.check(s.n[phaseTaking] <= s.opts.Max, "more than Max take tasks")
	w.check(s.coming()+s.n[phaseTaking] <= s.opts.Max, "more than Max will take tasks")
	w.check(s.calls <= s.underWay(), "more under way than the pool takes")
	if len(s.queue) > 0 && s.state != closed {
		free := len(s.idle) > 0
		w.check(!free, "a task waits though a worker is idle")
		possible := s.coming() > 0 || s.n[phaseTaking] > 0 || s.failures > 0 || s.n[phaseLeaving] > s.opts.Max || s.n[phaseStarting] > 0
		w.check(possible, "a task waits for nobody")
	}
	if next := s.next(w.now); !next.IsZero() {
		w.check(next.After(w.now), "the timer would run at once")
	}
}

func (w *world) check(ok bool, what string) {
	if !ok {
		w.t.Fatalf("%s: %+v", what, w.s)
	}
}

// step is one thing that happens.
func (w *world) step() {
	s, r := w.s, w.r
	w.now = w.now.Add(time.Duration(r.IntN(100)) * time.Millisecond)
	switch r.IntN(12) {
	case 0, 1, 2: // a Do
		c := &call{wake: make(chan struct{}, 1), large: r.IntN(3) == 0}
		if s.admit(c, w.now) == nil {
			w.calls = append(w.calls, c)
		}
	case 3: // a start succeeds or fails
		if p := w.pick(func(p *puppet) bool { return p.w.phase == phaseStarting }); p != nil {
			if r.IntN(3) > 0 {
				s.ready(p.w, w.now)
			} else {
				w.die(p)
			}
		}
	case 4, 5: // an answer
		if p := w.pick(func(p *puppet) bool { return len(p.w.calls) > 0 }); p != nil {
			for id, c := range p.w.calls {
				if c.state == sending && !c.left {
					c.state = running
				}
				_, err := s.received(p.w, kindResult, id, nil, nil, w.now)
				w.check(err == nil, "an answer is refused")
				break
			}
		}
	case 6: // a worker dies
		if p := w.pick(func(*puppet) bool { return true }); p != nil && (p.killed || p.told || r.IntN(4) == 0) {
			w.die(p)
		}
	case 7: // a Do leaves
		if len(w.calls) > 0 {
			w.leave(w.calls[r.IntN(len(w.calls))])
		}
	case 8: // an argument does not get into the channel
		if c := w.onWorker(); c != nil {
			s.unsent(c, errors.New("broken"), w.now)
		}
	case 9:
		if p := w.pick(func(p *puppet) bool { return p.w.phase == phaseTaking }); p != nil {
			s.wear(p.w, ReasonWorn)
		}
	case 10: // Replace begins, or gives up
		if p := w.pick(func(*puppet) bool { return true }); p != nil && r.IntN(2) == 0 {
			s.wear(p.w, ReasonReplaced)
		} else if p != nil {
			s.keep(p.w)
		}
	case 11: // the end of the pool
		switch r.IntN(200) {
		case 0:
			s.state = max(s.state, draining)
		case 1:
			s.closeAll()
		}
	}
	w.settle()
	w.collect()
}

func (w *world) pick(is func(*puppet) bool) *puppet {
	var some []*puppet
	for _, p := range w.begun {
		if is(p) {
			some = append(some, p)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[w.r.IntN(len(some))]
}

func (w *world) onWorker() *call {
	for _, c := range w.calls {
		if c.state == sending || c.state == running {
			return c
		}
	}
	return nil
}

func (w *world) die(p *puppet) {
	w.begun = slices.DeleteFunc(w.begun, func(o *puppet) bool { return o == p })
	w.s.ended(p.w, &gipc.ExitError{Code: -9}, errors.New("died"), w.now)
}

// leave is what a Do does when its ctx ends.
func (w *world) leave(c *call) {
	s := w.s
	switch c.state {
	case waiting:
		w.check(s.leaveQueue(c), "a waiting call isn't in the queue")
	case sending, running:
		s.abandon(c)
		if w.r.IntN(2) == 0 {
			s.overdue(c, errors.New("overdue"))
		}
	case answered:
		return
	}
	w.over(c)
}

func (w *world) over(c *call) {
	w.s.over(c, false)
	w.calls = slices.DeleteFunc(w.calls, func(o *call) bool { return o == c })
}

// collect lets the Dos return that have an answer, or try again.
func (w *world) collect() {
	for _, c := range slices.Clone(w.calls) {
		if c.state != answered {
			continue
		}
		w.check(len(c.wake) == 1, "an answered call isn't woken")
		<-c.wake
		if c.answer.exit != nil && w.retried[c] < w.s.opts.Retries && w.s.state != closed {
			w.retried[c]++
			w.s.enqueue(c, 0, w.now)
		} else {
			w.over(c)
		}
		w.settle()
	}
	for _, c := range w.calls {
		if c.state == sending || c.state == running {
			select {
			case <-c.wake: // that it was assigned
			default:
			}
		}
	}
}

// goOn ends a worker's process that has to, and makes one ready that starts.
func (w *world) goOn(p *puppet) {
	switch {
	case p.killed || p.told:
		w.die(p)
	case p.w.phase == phaseStarting:
		w.s.ready(p.w, w.now)
	}
}

// calm lets everything go well from here, and checks that all calls are answered.
func (w *world) calm() {
	for round := 0; len(w.calls) > 0; round++ {
		w.check(round < 1000, "calls are never answered")
		w.now = w.now.Add(time.Second)
		w.settle()
		for _, p := range slices.Clone(w.begun) {
			w.goOn(p)
			for id, c := range p.w.calls {
				if c.state == sending {
					c.state = running
				}
				_, err := w.s.received(p.w, kindResult, id, nil, nil, w.now)
				w.check(err == nil, "an answer is refused")
			}
			w.settle()
			w.collect()
		}
	}
}

// doom lets no argument get into a channel from here, and checks that all calls are answered.
func (w *world) doom() {
	for round := 0; len(w.calls) > 0; round++ {
		w.check(round < 1000, "calls that no worker gets are never answered")
		w.now = w.now.Add(time.Second)
		w.settle()
		for _, c := range slices.Clone(w.calls) {
			if c.state == sending || c.state == running {
				w.s.unsent(c, errors.New("broken"), w.now)
			}
		}
		w.settle()
		for _, p := range slices.Clone(w.begun) {
			for _, c := range p.w.calls {
				if c.left {
					w.s.overdue(c, errors.New("overdue"))
				}
			}
			w.settle()
			w.goOn(p)
		}
		w.settle()
		w.collect()
	}
}

// Whatever happens in whatever order, the state is consistent, every call is answered, and all workers end.
func TestScheduling(t *testing.T) {
	seed := *modelSeed
	runs := *modelRuns
	if seed != 0 {
		runs = 1
	}
	for range runs {
		this := seed
		if this == 0 {
			this = rand.Uint64()
		}
		ok := t.Run("", func(t *testing.T) {
			w := newWorld(t, rand.New(rand.NewPCG(this, 0)))
			w.settle()
			for range 300 {
				w.step()
			}
			if w.r.IntN(2) == 0 {
				w.calm()
			} else {
				w.doom()
			}
			w.s.closeAll()
			w.settle()
			for len(w.begun) > 0 {
				p := w.begun[0]
				w.check(p.told || p.killed, "a worker isn't told to end")
				w.die(p)
				w.settle()
			}
			w.check(w.s.finished(), "the pool never ends")
		})
		if !ok {
			t.Fatalf("replay: go test ./pool -run TestScheduling -model.seed %d", this)
		}
	}
}
