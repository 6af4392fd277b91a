package foreign

import (
	"errors"
	"flag"
	"os"
	"testing"

	"github.com/go-gipc/gipc/bench/internal/work"
)

var withGipc = flag.String("python", "", "the Python interpreter that has gipc")

// TestForeign moves a few messages by each rival that is installed. The programs check that all have arrived.
func TestForeign(t *testing.T) {
	workloads := []work.Workload{
		{Kind: work.Stream, Size: 64},
		{Kind: work.Stream, Size: 1 << 20},
		{Kind: work.Echo, Size: 1 << 10},
		{Kind: work.Struct},
		{Kind: work.Spawn},
		{Kind: work.Task, InFlight: 8},
	}
	for _, r := range All(*withGipc) {
		t.Run(r.Name(), func(t *testing.T) {
			if _, ok := r.(*rust); ok {
				skipUnbuilt(t)
			}
			offered := 0
			for _, w := range workloads {
				s, err := r.Open(w)
				var missing *work.MissingError
				switch {
				case errors.Is(err, work.ErrNotOffered):
					continue
				case errors.As(err, &missing):
					t.Skip(err)
				case err != nil:
					t.Fatalf("%s: %v", w.ID(), err)
				}
				offered++
				run(t, w, s)
			}
			if offered == 0 {
				t.Error("it offers nothing")
			}
			if r.Version() == "" {
				t.Error("it has no version")
			}
		})
	}
}

func skipUnbuilt(t *testing.T) {
	target, err := rustTarget()
	if err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat(rustBinary(target)); err != nil {
		t.Skipf("cargo would take minutes to build it, go run . does that: %v", err)
	}
}

func run(t *testing.T, w work.Workload, s work.Session) {
	for _, n := range []int{1, 2, 40} {
		if w.Kind == work.Spawn {
			n = 1
		}
		round, err := s.Run(n)
		if err != nil {
			t.Fatalf("%s: %d messages: %v", w.ID(), n, err)
		}
		if round.Total <= 0 || (round.P99 > 0) != (w.Kind == work.Echo) {
			t.Errorf("%s: got %+v", w.ID(), round)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: Close: %v", w.ID(), err)
	}
}

// TestMissing has an interpreter that doesn't exist.
func TestMissing(t *testing.T) {
	for _, r := range All("/there/is/no/python") {
		if r.Name() != "Python gipc" {
			continue
		}
		_, err := r.Open(work.Workload{Kind: work.Stream, Size: 64})
		var missing *work.MissingError
		if !errors.As(err, &missing) || missing.Install == "" {
			t.Errorf("got %v", err)
		}
	}
}
