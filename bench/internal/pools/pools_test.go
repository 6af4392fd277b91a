package pools

import (
	"os"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/bench/internal/work"
)

func TestMain(m *testing.M) {
	work.RunChild()
	gipc.Init()
	os.Exit(m.Run())
}

func TestPools(t *testing.T) {
	for _, r := range All() {
		t.Run(r.Name(), func(t *testing.T) {
			s, err := r.Open(work.Workload{Kind: work.Task, InFlight: 8})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{1, 20} {
				if round, err := s.Run(n); err != nil || round.Total <= 0 {
					t.Errorf("%d tasks: %v, %v", n, round, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
