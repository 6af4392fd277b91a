package pool

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// closeWhen closes the pool at the very moment at which a state is reached, before anybody sees it.
func closeWhen(p *core, reached func() bool) <-chan struct{} {
	closed := make(chan struct{})
	p.mu.Lock()
	p.waiters = append(p.waiters, &waiter{wake: closed, reached: func() bool {
		is := reached()
		if is {
			p.closeAll()
		}
		return is
	}})
	p.unlock()
	return closed
}

// A task that is to run again when the pool is closed doesn't wait for a worker that never comes.
func TestCloseWhileATaskIsToRunAgain(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Retries: 1})
	closeWhen(p.core, func() bool {
		return p.core.lastID == 1 && p.core.stats.Lost == 1 && !slices.ContainsFunc(p.core.workers, func(w *worker) bool { return len(w.calls) > 0 })
	})
	_, err := p.Do(test.Context(t), deed{Do: "kill"})
	as[*WorkerError](t, err)
}

// A task that got a worker just before the Close doesn't wait for the worker's end.
func TestCloseWhenATaskWasJustAssigned(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Grace: 2 * time.Second})
	pid(t, p)
	closed := closeWhen(p.core, func() bool { return len(p.core.workers) > 0 && len(p.core.workers[0].calls) > 0 })
	result := test.Started(func() error { _, err := p.Do(context.Background(), deed{Do: "stubborn"}); return err })
	<-closed
	ended := test.Started(p.Close)
	select {
	case err := <-result:
		test.Is(t, err, ErrClosed)
	case err := <-ended:
		test.Check(t, err)
		select {
		case <-result:
		case <-time.After(time.Second):
			t.Fatal("Do never returns")
		}
		t.Error("Do waited for the worker's end")
	}
}

// newSched returns the state of a pool with one worker that takes tasks.
func newSched(t *testing.T, o Options) (*world, *worker) {
	t.Helper()
	test.Check(t, o.resolve())
	w := &world{t: t, now: time.Unix(0, 0)}
	w.s = &sched{opts: &o, random: func() float64 { return 0 }, report: func(*worker, Event) {}}
	w.s.hire = func(k *worker) hands { return &puppet{w: k, world: w} }
	w.s.backoff.SetDefaults(healthy)
	w.settle()
	k := w.begun[0].w
	w.s.ready(k, w.now)
	w.settle()
	return w, k
}

// A call whose worker ended before its Do saw that it had one gets that end, when it is not to be sent again.
func TestUnsentCallIsWokenByTheEndItHasMissed(t *testing.T) {
	w, k := newSched(t, Options{Max: 1})
	c := &call{wake: make(chan struct{}, 1), unsent: maxUnsent - 1}
	test.Check(t, w.s.admit(c, w.now))
	w.settle()
	test.Equal(t, c.worker, k)
	w.die(w.begun[0])
	<-c.wake // its Do wakes up only now
	test.Equal(t, w.s.unsent(c, errors.New("broken"), w.now), false)
	test.Equal(t, len(c.wake), 1)
}

// running returns a call that a worker has.
func (w *world) running(t *testing.T) *call {
	t.Helper()
	c := &call{wake: make(chan struct{}, 1)}
	test.Check(t, w.s.admit(c, w.now))
	w.settle()
	test.Equal(t, w.s.mayBeSent(c), true)
	return c
}

// Nothing is sent to a worker that ended before the call's Do saw that it had one.
func TestNothingIsSentToAWorkerThatHasEnded(t *testing.T) {
	w, k := newSched(t, Options{Max: 1})
	c := &call{wake: make(chan struct{}, 1)}
	test.Check(t, w.s.admit(c, w.now))
	w.settle()
	test.Equal(t, c.worker, k)
	w.die(w.begun[0])
	test.Equal(t, w.s.mayBeSent(c), false)
}

// An answer that comes before the question is none: its Do, which has not looked yet, would wait for another one.
func TestAnswerBeforeTheQuestionIsRefused(t *testing.T) {
	w, k := newSched(t, Options{Max: 1})
	c := &call{wake: make(chan struct{}, 1)}
	test.Check(t, w.s.admit(c, w.now))
	w.settle()
	_, err := w.s.received(k, kindResult, c.id, nil, nil, w.now)
	if err == nil {
		t.Fatal("it is taken")
	}
	test.Equal(t, w.s.mayBeSent(c), true)
}

// A cancelled task has its grace, also on a worker that is to be killed because of another one.
func TestEachCancelledTaskHasItsGrace(t *testing.T) {
	w, k := newSched(t, Options{Max: 1, PerWorker: 2})
	one, other := w.running(t), w.running(t)
	test.Equal(t, other.worker, k)
	p := w.begun[0]
	late := errors.New("it did not return")
	w.s.abandon(one)
	w.s.overdue(one, late)
	w.settle()
	test.Equal(t, p.killed, false)
	w.s.abandon(other)
	w.settle()
	test.Equal(t, p.killed, false)
	w.s.overdue(other, late)
	w.settle()
	test.Equal(t, p.killed, true)
}

// A worker that crashes while it ends its last tasks is lost, as any other one.
func TestWorkerThatCrashesWhileItLeavesIsLost(t *testing.T) {
	w, k := newSched(t, Options{Max: 1})
	c := w.running(t)
	w.s.retire(k, ReasonWorn)
	w.settle()
	w.die(w.begun[0])
	test.Equal(t, k.reason, ReasonLost)
	test.Equal(t, int(w.s.stats.Lost), 1)
	test.Equal(t, c.answer.exit != nil, true)

	w, k = newSched(t, Options{Max: 1})
	w.s.retire(k, ReasonIdle)
	w.settle()
	w.die(w.begun[0])
	test.Equal(t, k.reason, ReasonIdle)
	test.Equal(t, int(w.s.stats.Lost), 0)
}

// What Replace could not replace stays, and wears as before.
func TestReplaceThatGivesUpLeavesNoTrace(t *testing.T) {
	w, k := newSched(t, Options{Max: 1, MaxTasks: 2})
	s := w.s
	do := func() {
		c := &call{wake: make(chan struct{}, 1)}
		test.Check(t, s.admit(c, w.now))
		w.settle()
		test.Equal(t, s.mayBeSent(c), true)
		_, err := s.received(k, kindResult, c.id, nil, nil, w.now)
		test.Check(t, err)
		s.over(c, false)
		w.settle()
	}
	do()
	s.wear(k, ReasonReplaced)
	w.settle()
	heir := k.heir
	do()
	s.keep(k)
	w.settle()
	test.Equal(t, heir.phase, phaseLeaving)
	test.Equal(t, k.phase, phaseTaking)
	do()
	test.Equal(t, k.worn, ReasonWorn)
	s.wear(k, ReasonReplaced)
	s.keep(k)
	test.Equal(t, k.worn, ReasonWorn)
}
