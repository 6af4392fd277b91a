package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The policies, with fake children and in synctest's fake time.

func TestSupervisorStartsAndStopsInOrder(t *testing.T) {
	for _, strategy := range []Strategy{OneForOne, OneForAll, RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			s := fakeSupervisor(t.Context(), &SupervisorOptions{Strategy: strategy})
			if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{})); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(f.spec("c", plan{})); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			wantList(t, f.read(), "start a", "start b", "start c", "end c", "end b", "end a")
			if err := s.Wait(); err != nil {
				t.Error(err)
			}
			if err := s.Start(f.spec("d", plan{})); !errors.Is(err, ErrStopped) {
				t.Errorf("Start after Stop: %v", err)
			}
		})
	}
}

// A failing child takes down, and brings back, those that the strategy says, in order.
func TestSupervisorStrategies(t *testing.T) {
	for strategy, want := range map[Strategy][]string{
		OneForOne:  {"end b", "start b"},
		OneForAll:  {"end b", "end d", "end c", "end a", "start a", "start b", "start c"},
		RestForOne: {"end b", "end d", "end c", "start b", "start c"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			s := fakeSupervisor(t.Context(), &SupervisorOptions{Strategy: strategy})
			temporary := plan{options: ChildOptions{Restart: Temporary}}
			if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{}), f.spec("c", plan{}), f.spec("d", temporary)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			before := len(f.read())
			f.kid("b").fail(errCrash)
			time.Sleep(defaultMinBackoff - 1) // in fake time
			synctest.Wait()
			if got := f.read(); strings.HasPrefix(got[len(got)-1], "start") {
				t.Errorf("%v: started during the backoff: %q", strategy, got)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			t.Log(strategy)
			wantList(t, f.read()[before:], want...)
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Two of a group crash at once: the group restarts once for each, and never twice at the same time.
func TestSupervisorGroupCrashesTogether(t *testing.T) {
	for _, strategy := range []Strategy{OneForAll, RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			s := fakeSupervisor(t.Context(), &SupervisorOptions{Strategy: strategy})
			if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{}), f.spec("c", plan{})); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for range 3 {
				f.kid("c").fail(errCrash)
				f.kid("a").fail(errCrash)
				f.kid("b").fail(errCrash)
				time.Sleep(time.Minute)
				synctest.Wait()
				running(t, s, 3)
			}
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			checkAlternation(t, f.read())
		})
	}
}

// running checks that n children run.
func running(t *testing.T, s *Supervisor, n int) {
	t.Helper()
	got := 0
	for _, c := range s.Children() {
		if c.State == ChildRunning {
			got++
		}
	}
	if got != n {
		t.Errorf("%d children run, want %d:\n%v", got, n, s.Children())
	}
}

// checkAlternation checks that no child was started while it ran.
func checkAlternation(t *testing.T, journal []string) {
	t.Helper()
	alive := map[string]bool{}
	for _, line := range journal {
		what, name, _ := strings.Cut(line, " ")
		if what != "start" && what != "end" || alive[name] == (what == "start") {
			t.Errorf("%q in %q", line, journal)
		}
		alive[name] = what == "start"
	}
}

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
			s := fakeSupervisor(t.Context(), &SupervisorOptions{MaxRestarts: 2})
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
		s := fakeSupervisor(t.Context(), &SupervisorOptions{MaxRestarts: -1})
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
		s := fakeSupervisor(t.Context(), &SupervisorOptions{MaxRestarts: 6, OnEvent: r.add, Backoff: Backoff{Max: time.Second}})
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
		var delays []time.Duration
		for _, e := range r.events {
			if e.Kind == EventRestarting {
				delays = append(delays, e.Delay)
			}
		}
		if want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1000 * ms, 1000 * ms}; !slices.Equal(delays, want) {
			t.Errorf("delays %v, want %v", delays, want)
		}
	})
}

// After a healthy while a child starts over, in backoff and in count.
func TestSupervisorHealthyWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFakes(), &recorder{}
		s := fakeSupervisor(t.Context(), &SupervisorOptions{MaxRestarts: 2, OnEvent: r.add})
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

func TestSupervisorStopAtAnyTime(t *testing.T) {
	hang := func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return fmt.Errorf("args: %w", ctx.Err())
	}
	for name, p := range map[string]plan{
		"starting":    {start: hang},
		"backing off": {run: crash},
		"restarting": {run: crash, start: func(ctx context.Context, n int) error {
			if n == 0 {
				return nil
			}
			return hang(ctx, n)
		}},
		"not ready": {options: ChildOptions{WaitReady: true}},
	} {
		for _, strategy := range []Strategy{OneForOne, OneForAll, RestForOne} {
			t.Run(fmt.Sprint(name, " ", strategy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFakes()
					s := fakeSupervisor(t.Context(), &SupervisorOptions{Strategy: strategy, Backoff: Backoff{Min: time.Second}})
					if err := s.Start(f.spec("a", plan{}), f.spec("x", p), f.spec("b", plan{})); err != nil {
						t.Fatal(err)
					}
					if name == "restarting" {
						time.Sleep(3 * time.Second)
					}
					synctest.Wait()
					if err := s.Stop(t.Context()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// Stop while a group is being stopped for a restart: nothing is started again.
func TestSupervisorStopDuringGroupRestart(t *testing.T) {
	for _, strategy := range []Strategy{OneForAll, RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			s := fakeSupervisor(t.Context(), &SupervisorOptions{Strategy: strategy})
			if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{run: slowly}), f.spec("c", plan{})); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			f.kid("a").fail(errCrash)
			synctest.Wait()
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			wantList(t, f.read(), "start a", "start b", "start c", "end a", "end c", "end b")
			for _, c := range s.Children() {
				if c.State != ChildEnded {
					t.Errorf("left:\n%v", s.Children())
				}
			}
		})
	}
}

// slowly takes a while to stop.
func slowly(ctx context.Context, _ int, _ *fakeChild) error {
	<-ctx.Done()
	time.Sleep(time.Minute)
	return nil
}

// A Transient child that is through by itself, while it waits for its turn to be stopped, isn't started again.
func TestSupervisorGroupRestartLeavesTheFinishedAlone(t *testing.T) {
	for _, strategy := range []Strategy{OneForAll, RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			s := fakeSupervisor(t.Context(), &SupervisorOptions{Strategy: strategy})
			finish := make(chan struct{})
			job := func(context.Context, int, *fakeChild) error { <-finish; return nil }
			transient := ChildOptions{Restart: Transient}
			check(t, s.Start(f.spec("a", plan{}), f.spec("job", plan{run: job, options: transient}), f.spec("slow", plan{run: slowly})))
			synctest.Wait()
			f.kid("a").fail(errCrash)
			synctest.Wait()
			close(finish)
			time.Sleep(time.Hour)
			wantList(t, f.read()[3:], "end a", "end job", "end slow", "start a", "start slow")
			check(t, s.Stop(t.Context()))
		})
	}
}

// A child that crashes before it was its turn to be stopped has not ended as asked.
func TestSupervisorStopTellsOfACrashMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		check(t, s.Start(f.spec("a", plan{}), f.spec("slow", plan{run: slowly})))
		synctest.Wait()
		time.AfterFunc(time.Second, func() { f.kid("a").fail(errCrash) })
		checkIs(t, s.Stop(t.Context()), errCrash)
	})
}

func TestSupervisorManyStopAndWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{run: crash, options: ChildOptions{Restart: Temporary}})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := s.Wait(); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := s.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() { _ = s.Start(f.spec("c", plan{})) })
			wg.Go(func() { _ = s.Children().String() })
		}
		wg.Wait()
		if l := s.Children(); slices.ContainsFunc(l, func(c ChildStatus) bool { return c.State != ChildEnded }) {
			t.Errorf("left:\n%v", l)
		}
	})
}

// Children that have to be killed are named; the end of Stop's ctx kills.
func TestSupervisorStopKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		mule := plan{run: func(_ context.Context, _ int, f *fakeChild) error {
			return &ExitError{Name: "mule", PID: f.pid, Code: -9, Err: <-f.killed}
		}}
		if err := s.Start(f.spec("mule", mule), f.spec("a", plan{}), f.spec("goat", plan{run: stubborn})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("no patience"))
		defer cancel()
		began := time.Now()
		err := s.Stop(ctx)
		if d := time.Since(began); d != time.Minute {
			t.Errorf("Stop took %v", d)
		}
		for _, part := range []string{"mule", "fake", "no patience", "killed"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("Stop is %v, without %q", err, part)
			}
		}
		var exit *ExitError
		if !errors.As(err, &exit) {
			t.Errorf("Stop is %v", err)
		}
		if again := s.Wait(); again != err {
			t.Errorf("Wait is %v", again)
		}
	})
}

// A function for arguments that hangs is named by Stop, and Wait waits for it.
func TestSupervisorStopCantEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		release := make(chan struct{})
		hang := plan{start: func(context.Context, int) error { <-release; return nil }, run: stubborn}
		if err := s.Start(f.spec("hanging", hang)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Stop(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "hanging") {
			t.Errorf("Stop is %v", err)
		}
		close(release)
		if err := s.Wait(); err == nil {
			t.Error("a child that was killed right after its start is no clean end")
		}
	})
}

func TestSupervisorContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		f := newFakes()
		ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		s := fakeSupervisor(ctx, nil)
		var value any
		p := plan{start: func(ctx context.Context, _ int) error { value = ctx.Value(key{}); return nil }}
		if err := s.Start(f.spec("a", p), f.spec("b", plan{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		why := errors.New("enough")
		cancel(why)
		err := s.Wait()
		if !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
			t.Errorf("Wait is %v", err)
		}
		wantList(t, f.read()[2:], "end b", "end a")
		if value != "value" {
			t.Errorf("args got the value %v", value)
		}
		if err := s.Start(f.spec("c", plan{})); !errors.Is(err, ErrStopped) {
			t.Errorf("Start is %v", err)
		}
	})
}

func TestSupervisorWaitsForChildrenThenDaemons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		daemon := plan{options: ChildOptions{Spawn: &SpawnOptions{Daemon: true}}}
		work := plan{options: ChildOptions{Restart: Transient}, run: func(ctx context.Context, n int, f *fakeChild) error {
			time.Sleep(time.Second)
			if n == 0 {
				return errCrash
			}
			return nil
		}}
		if err := s.Start(f.spec("d1", daemon), f.spec("work", work), f.spec("d2", daemon)); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
		wantList(t, f.read()[3:], "end work", "start work", "end work", "end d2", "end d1")
	})
}

func TestSupervisorStartWithoutInitSaysSo(t *testing.T) {
	s := NewSupervisor(t.Context(), nil)
	initialized.Store(false)
	err := s.Start()
	initialized.Store(true)
	if !errors.Is(err, ErrNotInitialized) {
		t.Errorf("Start is %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSupervisorStopsDaemonsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		daemon := plan{options: ChildOptions{Spawn: &SpawnOptions{Daemon: true}}}
		if err := s.Start(f.spec("d1", daemon), f.spec("a", plan{}), f.spec("d2", daemon), f.spec("b", plan{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		wantList(t, f.read()[4:], "end b", "end a", "end d2", "end d1")
	})
}

// The failure of a temporary child is none of the supervisor's, also where it fails while it is being stopped.
func TestSupervisorStopForgivesTemporaryChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, restart := range []Restart{Permanent, Transient, Temporary} {
			f := newFakes()
			s := fakeSupervisor(t.Context(), nil)
			fails := plan{options: ChildOptions{Restart: restart}, run: func(ctx context.Context, _ int, _ *fakeChild) error {
				<-ctx.Done()
				return errCrash
			}}
			if err := s.Start(f.spec("a", fails)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := s.Stop(t.Context()); errors.Is(err, errCrash) != (restart != Temporary) {
				t.Errorf("%v: Stop is %v", restart, err)
			}
		}
	})
}

func TestSupervisorWithoutChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fakeSupervisor(t.Context(), nil)
		if err := s.Start(); err != nil {
			t.Error(err)
		}
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Children that end for good don't end the supervisor before somebody waits.
func TestSupervisorLivesUntilWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		once := plan{options: ChildOptions{Restart: Temporary}, run: func(context.Context, int, *fakeChild) error { return nil }}
		for range 300 {
			if err := s.Start(f.spec("a", once)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if n := len(s.Children()); n != maxEnded {
			t.Errorf("%d children are remembered", n)
		}
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestSupervisorNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		if err := s.Start(f.spec("a", plan{}), f.spec("a", plan{}), f.spec("a#2", plan{}), f.spec("a", plan{})); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range s.Children() {
			names = append(names, c.Name)
		}
		wantList(t, names, "a", "a#2", "a#2#2", "a#3")
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Under OneForOne a child whose start hangs holds up the first start of others, but never a restart.
func TestSupervisorOneForOneIsIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), &SupervisorOptions{MaxRestarts: 100})
		fails := plan{start: func(context.Context, int) error { return errCrash }}
		hangs := plan{start: func(ctx context.Context, n int) error {
			if n == 0 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		slow := plan{options: ChildOptions{WaitReady: true}}
		if err := s.Start(f.spec("fails", fails), f.spec("hangs", hangs), f.spec("slow", slow), f.spec("good", plan{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		running(t, s, 2)
		f.kid("hangs").fail(errCrash)
		f.kid("good").fail(errCrash)
		time.Sleep(time.Second)
		running(t, s, 1)
		if n := f.starts["good"]; n != 2 {
			t.Errorf("good was started %d times", n)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Under RestForOne the next child is started only when the one before has reported that it is ready.
func TestSupervisorRestForOneWaitsForReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), &SupervisorOptions{Strategy: RestForOne})
		slow := plan{options: ChildOptions{WaitReady: true}}
		if err := s.Start(f.spec("db", slow), f.spec("app", plan{})); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		wantList(t, f.read(), "start db")
		if state := s.Children()[0].State; state != ChildStarting {
			t.Errorf("db is %v", state)
		}
		close(f.kid("db").serving)
		synctest.Wait()
		running(t, s, 2)

		f.kid("db").fail(errCrash) // the next incarnation is never ready
		time.Sleep(10 * time.Second)
		wantList(t, f.read(), "start db", "start app", "end db", "end app", "start db")
		time.Sleep(defaultStartTimeout)
		if err := s.Children()[0].LastErr; !errors.Is(err, ErrNotReady) {
			t.Errorf("db's last error is %v", err)
		}
		if n := f.starts["db"]; n != 3 {
			t.Errorf("db was started %d times", n)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestSupervisorLiveness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), &SupervisorOptions{MaxRestarts: -1})
		var silentSince time.Time
		answers := 0
		p := plan{options: ChildOptions{Liveness: 4 * time.Second}, run: func(ctx context.Context, n int, f *fakeChild) error {
			return untilStopped(ctx, n, f)
		}}
		spec := f.spec("a", p)
		start := spec.start
		spec.start = func(ctx context.Context, name string) (incarnation, error) {
			child, err := start(ctx, name)
			kid := child.(*fakeChild)
			kid.asked = func() {
				if answers++; answers <= 10 {
					silentSince = time.Now()
					kid.pong <- struct{}{}
				}
			}
			return child, err
		}
		if err := s.Start(spec); err != nil {
			t.Fatal(err)
		}
		err := s.Wait()
		if !errors.Is(err, errNoAnswer) {
			t.Errorf("Wait is %v", err)
		}
		if d := time.Since(silentSince); answers != 11 || d < 4*time.Second || d > 5*time.Second {
			t.Errorf("killed after %v of silence and %d questions", d, answers)
		}
	})
}

func TestSupervisorEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFakes(), &recorder{}
		var logged bytes.Buffer
		s := fakeSupervisor(t.Context(), &SupervisorOptions{
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
		var exit *ExitError
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
		s := fakeSupervisor(t.Context(), &SupervisorOptions{
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
		if n := len(r.events); n != maxEvents+1 {
			t.Errorf("%d events were delivered", n)
		}
	})
}

func TestSupervisorDroppedEventsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		rec := &recorder{}
		r := newReporter(func(e Event) { <-release; rec.add(e) }, nil)
		r.report(Event{})
		synctest.Wait()
		for range maxEvents + 7 {
			r.report(Event{})
		}
		close(release)
		synctest.Wait()
		r.finish(Event{Kind: EventStopped})
		last := rec.events[len(rec.events)-1]
		if last.Dropped != 7 || len(rec.events) != maxEvents+2 {
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
		s = fakeSupervisor(t.Context(), &SupervisorOptions{OnEvent: func(e Event) {
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

// A supervisor whose process has lost its parent stops, whatever its ctx says: it must not start children any more.
func TestSupervisorOrphaned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		orphaned := make(chan struct{})
		s := newSupervisor(t.Context(), nil, surroundings{random: noRandom, orphaned: orphaned})
		if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(orphaned)
		if err := s.Wait(); !errors.Is(err, errParentGone) {
			t.Errorf("Wait is %v", err)
		}
		wantList(t, f.read()[2:], "end b", "end a")
	})
}

func TestSupervisorMisuse(t *testing.T) {
	s := NewSupervisor(t.Context(), nil)
	args := func(context.Context) (deedArgs, error) { return deedArgs{}, nil }
	for name, spec := range map[string]ChildSpec{
		"zero spec":      {},
		"no entrypoint":  Child[deedArgs](nil, args, nil),
		"no args":        Child(entryDeed, nil, nil),
		"restart":        Child(entryDeed, args, &ChildOptions{Restart: 3}),
		"minus liveness": Child(entryDeed, args, &ChildOptions{Liveness: -1}),
		"minus grace":    Child(entryDeed, args, &ChildOptions{Spawn: &SpawnOptions{Grace: -1}}),
	} {
		f := newFakes()
		if err := s.Start(f.spec("good", plan{}), spec); err == nil || errors.Is(err, ErrStopped) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.Children()); n != 0 {
		t.Errorf("%d children", n)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for name, o := range map[string]SupervisorOptions{
		"strategy": {Strategy: 3}, "window": {Window: -1}, "min": {Backoff: Backoff{Min: -1}},
		"min above max": {Backoff: Backoff{Min: 2 * time.Second, Max: time.Second}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			NewSupervisor(t.Context(), &o)
		}()
	}
}

func TestChildListTable(t *testing.T) {
	l := ChildList{
		{Name: "db", PID: 71, State: ChildRunning, Uptime: 90 * time.Second},
		{Name: "worker\n#2", State: ChildBackingOff, Restarts: 12, LastErr: errors.New("two\nlines")},
	}
	want := "" +
		"NAME       PID  STATE        RESTARTS  UPTIME  LAST ERROR\n" +
		"db         71   running      0         1m30s   -\n" +
		"worker #2  -    backing off  12        -       two lines\n"
	if got := l.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestReadyOutsideOfEntrypoint(t *testing.T) {
	if err := Ready(t.Context()); !errors.Is(err, ErrNotEntrypoint) {
		t.Error(err)
	}
}
