package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func TestSupervisorRestart(t *testing.T) {
	for _, c := range []struct {
		restart Restart
		end     error
		starts  int
		wait    error
	}{
		{Permanent, nil, 3, &GaveUpError{}},
		{Permanent, errCrash, 3, errCrash},
		{Transient, nil, 1, nil},
		{Transient, errCrash, 3, errCrash},
		{Temporary, nil, 1, nil},
		{Temporary, errCrash, 1, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			s := fakeSupervisor(t.Context(), &Options{MaxRestarts: 2})
			end := func(context.Context, int, *fakeChild) error { return c.end }
			if err := s.Start(f.spec("a", plan{run: end, options: ChildOptions{Restart: c.restart}})); err != nil {
				t.Fatal(err)
			}
			err := s.Wait()
			var gaveUp *GaveUpError
			switch {
			case c.wait == nil && err != nil, c.wait != nil && !errors.As(err, &gaveUp):
				t.Errorf("%v, %v: Wait is %v", c.restart, c.end, err)
			case c.wait == errCrash && !errors.Is(err, errCrash):
				t.Errorf("%v, %v: Wait is %v", c.restart, c.end, err)
			case gaveUp != nil && (gaveUp.Child != "a" || gaveUp.Restarts != 2):
				t.Errorf("gave up: %+v", gaveUp)
			}
			if f.starts["a"] != c.starts {
				t.Errorf("%v, %v: started %d times, want %d", c.restart, c.end, f.starts["a"], c.starts)
			}
		})
	}
}

// The first failure that can't be mended is what Wait returns, and the cause for all others.
func TestSupervisorFirstFailureWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), &Options{MaxRestarts: -1})
		var causes []error
		witness := plan{run: func(ctx context.Context, _ int, f *fakeChild) error {
			<-ctx.Done()
			<-s.loop.ctx.Done() // the group knows before its children have ended
			causes = append(causes, context.Cause(ctx))
			return errors.New("a failure while being stopped")
		}}
		if err := s.Start(f.spec("a", witness), f.spec("b", witness), f.spec("c", plan{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.kid("c").fail(errCrash)
		err := s.Wait()
		var gaveUp *GaveUpError
		if !errors.As(err, &gaveUp) || gaveUp.Child != "c" || gaveUp.Restarts != 0 || !errors.Is(err, errCrash) {
			t.Errorf("Wait is %v", err)
		}
		if len(causes) != 2 || causes[0] != err || causes[1] != err {
			t.Errorf("causes %v", causes)
		}
		if context.Cause(s.loop.ctx) != err {
			t.Errorf("the group's cause is %v", context.Cause(s.loop.ctx))
		}
		wantList(t, f.read()[3:], "end c", "end b", "end a")
		if again := s.Wait(); again != err {
			t.Errorf("the second Wait is %v", again)
		}
		if again := s.Stop(t.Context()); again != err {
			t.Errorf("Stop afterwards is %v", again)
		}
	})
}

func TestSupervisorBackoffTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFakes(), &recorder{}
		began := time.Now()
		var at []time.Duration
		s := fakeSupervisor(t.Context(), &Options{MaxRestarts: 6, OnEvent: r.add, Backoff: Backoff{Max: time.Second}})
		start := func(context.Context, int) error {
			at = append(at, time.Since(began).Round(time.Millisecond))
			return errCrash
		}
		if err := s.Start(f.spec("a", plan{start: start})); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(); !errors.Is(err, errCrash) {
			t.Error(err)
		}
		const ms = time.Millisecond
		if want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 2500 * ms, 3500 * ms}; !slices.Equal(at, want) {
			t.Errorf("started at %v, want %v", at, want)
		}
		delays := r.delays("a")
		if want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1000 * ms, 1000 * ms}; !slices.Equal(delays, want) {
			t.Errorf("delays %v, want %v", delays, want)
		}
	})
}

// After a healthy while a child starts over, in backoff and in count.
func TestSupervisorHealthyWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFakes(), &recorder{}
		s := fakeSupervisor(t.Context(), &Options{MaxRestarts: 2, OnEvent: r.add})
		life := plan{run: func(ctx context.Context, n int, f *fakeChild) error {
			select {
			case <-time.After(30 * time.Second):
				return errCrash
			case <-ctx.Done():
				return nil
			}
		}}
		if err := s.Start(f.spec("a", life)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if n := f.starts["a"]; n < 100 {
			t.Errorf("started %d times", n)
		}
		for _, e := range r.events {
			if e.Kind == EventRestarting && e.Delay != 100*time.Millisecond {
				t.Fatalf("delay %v", e.Delay)
			}
		}
	})
}

func TestOptionsDefaults(t *testing.T) {
	const s = time.Second
	for _, c := range []struct{ in, want Options }{
		{Options{}, Options{MaxRestarts: 5, Window: 30 * s, Backoff: Backoff{s / 10, 10 * s, 30 * s}}},
		{Options{Window: time.Hour}, Options{MaxRestarts: 5, Window: time.Hour, Backoff: Backoff{s / 10, 10 * s, time.Hour}}},
		{
			Options{MaxRestarts: -1, Backoff: Backoff{Min: time.Minute}},
			Options{MaxRestarts: -1, Window: 30 * s, Backoff: Backoff{time.Minute, time.Minute, 30 * s}},
		},
		{
			Options{MaxRestarts: 7, Window: s, Backoff: Backoff{1, 2, 3}},
			Options{MaxRestarts: 7, Window: s, Backoff: Backoff{1, 2, 3}},
		},
	} {
		got := c.in
		test.Check(t, got.resolve())
		if got.MaxRestarts != c.want.MaxRestarts || got.Window != c.want.Window || got.Backoff != c.want.Backoff {
			t.Errorf("%+v becomes %+v, want %+v", c.in, got, c.want)
		}
	}
}

func TestEnumNames(t *testing.T) {
	for want, got := range map[string]string{
		"one for all": OneForAll.String(), "temporary": Temporary.String(), "backing off": ChildBackingOff.String(),
		"gave up": EventGaveUp.String(), "unknown (7)": Strategy(7).String(), "unknown (-1)": Restart(-1).String(),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A child that was healthy starts over, also if it was a sibling that ended its life.
func TestSupervisorRemembersHealthThatASiblingEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFakes(), &recorder{}
		s := fakeSupervisor(t.Context(), &Options{Strategy: OneForAll, MaxRestarts: 5, OnEvent: r.add})
		test.Check(t, s.Start(f.spec("a", plan{}), f.spec("b", plan{})))
		fail := func(name string) {
			time.Sleep(time.Second)
			synctest.Wait()
			f.kid(name).fail(errCrash)
			synctest.Wait()
		}
		for range 3 {
			fail("a")
		}
		time.Sleep(time.Hour)
		fail("b")
		fail("a")
		test.Check(t, s.Stop(t.Context()))
		const ms = time.Millisecond
		test.Equal(t, fmt.Sprint(r.delays("a")), fmt.Sprint([]time.Duration{100 * ms, 200 * ms, 400 * ms, 100 * ms}))
	})
}
