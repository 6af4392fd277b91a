package supervisor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-gipc/gipc"
)

func TestSupervisorLiveness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), &Options{MaxRestarts: -1})
		var silentSince time.Time
		answers := 0
		p := plan{options: ChildOptions{Liveness: 4 * time.Second}, run: func(ctx context.Context, n int, f *fakeChild) error {
			return untilStopped(ctx, n, f)
		}}
		spec := f.spec("a", p)
		start := spec.start
		spec.start = func(ctx context.Context, o gipc.SpawnOptions) (incarnation, error) {
			child, err := start(ctx, o)
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
		if d := time.Since(silentSince); answers != 11 || d < 4*time.Second || d > 5*time.Second+turn {
			t.Errorf("killed after %v of silence and %d questions", d, answers)
		}
	})
}
