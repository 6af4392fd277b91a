package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/events"
	"github.com/go-gipc/gipc/internal/test"
)

// recorder collects events.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// kinds returns the events as "kind child".
func (r *recorder) kinds() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		list = append(list, fmt.Sprintf("%v %s", e.Kind, e.Child))
	}
	return list
}

// delays returns how long a child's restarts were put off.
func (r *recorder) delays(child string) (list []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == EventRestarting && e.Child == child {
			list = append(list, e.Delay)
		}
	}
	return list
}

func TestSupervisorEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFakes(), &recorder{}
		var logged bytes.Buffer
		s := fakeSupervisor(t.Context(), &Options{
			MaxRestarts: 1, OnEvent: r.add, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		})
		if err := s.Start(f.spec("good", plan{}), f.spec("bad", plan{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.kid("bad").fail(errCrash)
		time.Sleep(time.Second)
		f.kid("bad").fail(errCrash)
		err := s.Wait()
		wantList(t, r.kinds(), "starting good", "ready good", "starting bad", "ready bad",
			"exited bad", "restarting bad", "starting bad", "ready bad", "exited bad", "gave up bad", "stopped good", "stopped ")
		last := r.events[len(r.events)-1]
		if last.Err != err || err == nil {
			t.Errorf("the last event has %v, Wait %v", last.Err, err)
		}
		var exit *gipc.ExitError
		if e := r.events[4]; !errors.As(e.Err, &exit) || e.PID != 2 || e.Restarts != 0 {
			t.Errorf("exited: %+v", e)
		}
		if e := r.events[6]; e.Restarts != 1 || e.PID != 0 || e.Time.IsZero() {
			t.Errorf("starting again: %+v", e)
		}
		for _, part := range []string{`msg="gipc: child starting" child=good`, "level=WARN", "level=ERROR", "delay=", `msg="gipc: supervisor stopped"`} {
			if !strings.Contains(logged.String(), part) {
				t.Errorf("the log lacks %s:\n%s", part, logged.String())
			}
		}
		if text := r.events[5].String(); !strings.HasPrefix(text, "child bad restarting in ") {
			t.Error(text)
		}
	})
}

// A callback that never returns holds nothing up but the last second.
func TestSupervisorEventsNeverBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		release := make(chan struct{})
		r := &recorder{}
		s := fakeSupervisor(t.Context(), &Options{
			MaxRestarts: math.MaxInt, Backoff: Backoff{Min: time.Millisecond, Max: time.Millisecond},
			OnEvent: func(e Event) { <-release; r.add(e) },
		})
		if err := s.Start(f.spec("a", plan{start: func(context.Context, int) error { return errCrash }})); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := f.starts["a"]; n < 500 {
			t.Errorf("started %d times", n)
		}
		began := time.Now()
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("Stop took %v", d)
		}
		close(release)
		synctest.Wait()
		if n := len(r.events); n != events.Room+1 {
			t.Errorf("%d events were delivered", n)
		}
	})
}

// A slow callback gets all events before Wait returns, however long they take together.
func TestSupervisorWaitsForASlowOnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFakes(), &recorder{}
		s := fakeSupervisor(t.Context(), &Options{
			MaxRestarts: 60, Backoff: Backoff{Min: 1, Max: 1},
			OnEvent: func(e Event) { time.Sleep(20 * time.Millisecond); r.add(e) },
		})
		test.Check(t, s.Start(f.spec("a", plan{run: crash})))
		var gaveUp *GaveUpError
		if err := s.Wait(); !errors.As(err, &gaveUp) {
			t.Error(err)
		}
		kinds := r.kinds()
		test.Equal(t, len(kinds), 61*3+60+2) // starting, ready and exited, then restarting; gave up and stopped
		test.Equal(t, kinds[len(kinds)-1], "stopped ")
	})
}

func TestSupervisorDroppedEventsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		rec := &recorder{}
		r := newReporter(func(e Event) { <-release; rec.add(e) }, nil)
		r.report(Event{})
		synctest.Wait()
		for range events.Room + 7 {
			r.report(Event{})
		}
		close(release)
		synctest.Wait()
		r.finish(Event{Kind: EventStopped})
		last := rec.events[len(rec.events)-1]
		if last.Dropped != 7 || len(rec.events) != events.Room+2 {
			t.Errorf("%d events, the last with %d dropped", len(rec.events), last.Dropped)
		}
		if text := last.String(); text != "supervisor stopped (7 events before this were dropped)" {
			t.Error(text)
		}
	})
}

// OnEvent may use the supervisor.
func TestSupervisorCalledFromEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		var s *Supervisor
		ready := make(chan struct{})
		s = fakeSupervisor(t.Context(), &Options{OnEvent: func(e Event) {
			<-ready
			_ = s.Children().String()
			if e.Kind == EventExited {
				go func() { _ = s.Stop(t.Context()) }()
			}
			_ = s.Start(f.spec("late", plan{}))
		}})
		close(ready)
		if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{run: crash})); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d != 0 { // OnEvent waited for the supervisor's end, which waited for OnEvent
			t.Errorf("Wait took %v", d)
		}
	})
}
