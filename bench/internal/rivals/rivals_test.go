package rivals

import (
	"errors"
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

// TestRivals moves a few messages by each rival. The sessions themselves check that all have arrived.
func TestRivals(t *testing.T) {
	workloads := []work.Workload{
		{Kind: work.Stream, Size: 64},
		{Kind: work.Stream, Size: 1 << 20},
		{Kind: work.Stream, Size: 64, Senders: 8},
		{Kind: work.Echo, Size: 1 << 10},
		{Kind: work.Struct},
		{Kind: work.Spawn},
	}
	for _, r := range All() {
		t.Run(r.Name(), func(t *testing.T) {
			offered := 0
			for _, w := range workloads {
				s, err := r.Open(w)
				if errors.Is(err, work.ErrNotOffered) {
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", w.ID(), err)
				}
				offered++
				run(t, w, s)
			}
			if offered == 0 {
				t.Error("it offers nothing")
			}
		})
	}
}

// run does three rounds: the first one alone would not see what a round leaves behind.
func run(t *testing.T, w work.Workload, s work.Session) {
	for _, n := range []int{1, 2, 40} {
		if w.Kind == work.Spawn {
			n = 1
		}
		round, err := s.Run(n)
		if err != nil {
			t.Fatalf("%s: %d messages: %v", w.ID(), n, err)
		}
		if round.Total <= 0 {
			t.Errorf("%s: it took %v", w.ID(), round.Total)
		}
		if (round.P99 > 0) != (w.Kind == work.Echo) {
			t.Errorf("%s: p99 is %v", w.ID(), round.P99)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: Close: %v", w.ID(), err)
	}
}
