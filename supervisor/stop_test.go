package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

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
					s := fakeSupervisor(t.Context(), &Options{Strategy: strategy, Backoff: Backoff{Min: time.Second}})
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
			s := fakeSupervisor(t.Context(), &Options{Strategy: strategy})
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

// A child that crashes before it was its turn to be stopped has not ended as asked.
func TestSupervisorStopTellsOfACrashMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		test.Check(t, s.Start(f.spec("a", plan{}), f.spec("slow", plan{run: slowly})))
		synctest.Wait()
		time.AfterFunc(time.Second, func() { f.kid("a").fail(errCrash) })
		test.Is(t, s.Stop(t.Context()), errCrash)
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
		log := newEventLog()
		s := fakeSupervisor(t.Context(), &Options{OnEvent: log.add})
		mule := plan{run: func(_ context.Context, _ int, f *fakeChild) error {
			return &gipc.ExitError{Name: "mule", PID: f.pid, Code: -9, Err: <-f.killed}
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
		for _, part := range []string{"mule", "fake", "no patience", "it did not stop in time"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("Stop is %v, without %q", err, part)
			}
		}
		var exit *gipc.ExitError
		if !errors.As(err, &exit) {
			t.Errorf("Stop is %v", err)
		}
		if again := s.Wait(); again != err {
			t.Errorf("Wait is %v", again)
		}
		if exited, stopped := log.count(EventExited), log.count(EventStopped); exited != 0 || stopped != 4 {
			t.Errorf("%d children ended by themselves, %d were stopped, the supervisor included", exited, stopped)
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

func TestSupervisorStopsDaemonsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		daemon := plan{options: ChildOptions{Spawn: &gipc.SpawnOptions{Daemon: true}}}
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
