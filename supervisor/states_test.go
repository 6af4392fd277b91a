package supervisor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestChildrenShowsTheirStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		states := func() (names []string) {
			for _, c := range s.Children() {
				names = append(names, c.State.String())
			}
			return names
		}
		crashesOnce := plan{run: func(ctx context.Context, n int, f *fakeChild) error {
			if n == 0 {
				return errCrash
			}
			return untilStopped(ctx, n, f)
		}}
		starting := plan{options: ChildOptions{WaitReady: true}}
		done := plan{options: ChildOptions{Restart: Transient}, run: func(context.Context, int, *fakeChild) error { return nil }}
		if err := s.Start(f.spec("a", plan{run: stubborn}), f.spec("b", crashesOnce), f.spec("c", starting), f.spec("d", done)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantList(t, states(), "running", "backing off", "starting", "ended")
		time.Sleep(minBackoff)
		synctest.Wait()
		wantList(t, states(), "running", "running", "starting", "ended")
		if uptime := s.Children()[1].Uptime; uptime != 1 { // it is ready since this moment
			t.Errorf("up for %v", uptime)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stopped := make(chan error)
		go func() { stopped <- s.Stop(ctx) }()
		synctest.Wait()
		wantList(t, states(), "stopping", "ended", "ended", "ended")
		if err := <-stopped; err == nil {
			t.Error("a child that had to be killed is no clean end")
		}
		wantList(t, states(), "ended", "ended", "ended", "ended")
	})
}
