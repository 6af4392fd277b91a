package supervisor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// A failing child takes down, and brings back, those that the strategy says, in order.
func TestSupervisorStrategies(t *testing.T) {
	for strategy, want := range map[Strategy][]string{
		OneForOne:  {"end b", "start b"},
		OneForAll:  {"end b", "end d", "end c", "end a", "start a", "start b", "start c"},
		RestForOne: {"end b", "end d", "end c", "start b", "start c"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			s := fakeSupervisor(t.Context(), &Options{Strategy: strategy})
			temporary := plan{options: ChildOptions{Restart: Temporary}}
			if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{}), f.spec("c", plan{}), f.spec("d", temporary)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			before := len(f.read())
			f.kid("b").fail(errCrash)
			time.Sleep(minBackoff - 1) // in fake time
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
			s := fakeSupervisor(t.Context(), &Options{Strategy: strategy})
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

// A Transient child that is through by itself, while it waits for its turn to be stopped, isn't started again.
func TestSupervisorGroupRestartLeavesTheFinishedAlone(t *testing.T) {
	for _, strategy := range []Strategy{OneForAll, RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			s := fakeSupervisor(t.Context(), &Options{Strategy: strategy})
			finish := make(chan struct{})
			job := func(context.Context, int, *fakeChild) error { <-finish; return nil }
			transient := ChildOptions{Restart: Transient}
			test.Check(t, s.Start(f.spec("a", plan{}), f.spec("job", plan{run: job, options: transient}), f.spec("slow", plan{run: slowly})))
			synctest.Wait()
			f.kid("a").fail(errCrash)
			synctest.Wait()
			close(finish)
			time.Sleep(time.Hour)
			wantList(t, f.read()[3:], "end a", "end job", "end slow", "start a", "start slow")
			test.Check(t, s.Stop(t.Context()))
		})
	}
}

// Under OneForOne a child whose start hangs holds up the first start of others, but never a restart.
func TestSupervisorOneForOneIsIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), &Options{MaxRestarts: 100})
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
		s := fakeSupervisor(t.Context(), &Options{Strategy: RestForOne})
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
		if err := s.Children()[0].LastErr; !errors.Is(err, gipc.ErrNotReady) {
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
