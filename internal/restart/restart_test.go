package restart

import (
	"math"
	"testing"
	"time"
)

func noRandom() float64 { return 0 }

func TestRestartPolicyWindow(t *testing.T) {
	p := Policy{Limit: 3, Window: 10 * time.Second, Backoff: Backoff{Min: 1, Max: 1, Healthy: time.Hour}, Random: noRandom}
	at := func(seconds int) time.Time { return time.Unix(1000, 0).Add(time.Duration(seconds) * time.Second) }
	for _, step := range []struct {
		second int
		ok     bool
		recent int
	}{
		{0, true, 1}, {1, true, 2}, {9, true, 3},
		{9, false, 3},  // three within the last ten seconds
		{10, true, 3},  // the first is ten seconds old
		{10, false, 3}, // 1, 9, 10
		{11, true, 3},
		{100, true, 1}, {101, true, 2}, {102, true, 3}, {103, false, 3},
	} {
		if _, ok := p.Next(at(step.second), 0); ok != step.ok || p.Recent() != step.recent {
			t.Errorf("restart at second %d: %v, %d within the window, want %v, %d", step.second, ok, p.Recent(), step.ok, step.recent)
		}
	}
}

func TestRestartPolicyBackoff(t *testing.T) {
	random := 0.0
	p := Policy{
		Limit: math.MaxInt, Window: time.Hour, Random: func() float64 { return random },
		Backoff: Backoff{Min: 100 * time.Millisecond, Max: time.Second, Healthy: 30 * time.Second},
	}
	now := time.Unix(1000, 0)
	next := func(ran time.Duration, want time.Duration) {
		t.Helper()
		if delay, ok := p.Next(now, ran); !ok || delay != want {
			t.Errorf("delay %v, %v, want %v", delay, ok, want)
		}
	}
	const ms = time.Millisecond
	for _, want := range []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1000 * ms, 1000 * ms} {
		next(0, want)
	}
	for range 5000 { // far beyond what an exponent can hold
		next(29*time.Second, 1000*ms)
	}
	next(30*time.Second, 100*ms) // healthy: from the start
	random = 0.5
	next(0, 150*ms)
	random = 0.999999
	if delay, _ := p.Next(now, 0); delay < 200*ms || delay > 201*ms {
		t.Errorf("most jitter gives %v, want half of 400 ms", delay)
	}
}

func TestBackoffDefaults(t *testing.T) {
	for _, c := range []struct{ in, want Backoff }{
		{Backoff{}, Backoff{100 * time.Millisecond, 10 * time.Second, time.Minute}},
		{Backoff{Min: time.Hour}, Backoff{time.Hour, time.Hour, time.Minute}},
		{Backoff{Min: time.Second, Max: 1, Healthy: 2}, Backoff{time.Second, 1, 2}},
	} {
		got := c.in
		if got.SetDefaults(time.Minute); got != c.want {
			t.Errorf("%v becomes %v, want %v", c.in, got, c.want)
		}
	}
}

// A life that was ended for another reason than a failure counts as well.
func TestRestartPolicyCountsEveryHealthyLife(t *testing.T) {
	p := Policy{Limit: math.MaxInt, Window: time.Hour, Random: noRandom, Backoff: Backoff{Min: 1, Max: 100, Healthy: time.Minute}}
	now := time.Unix(1000, 0)
	next := func(want time.Duration) {
		t.Helper()
		if delay, ok := p.Next(now, 0); !ok || delay != want {
			t.Errorf("delay %v, %v, want %v", delay, ok, want)
		}
	}
	next(1)
	next(2)
	p.Ran(time.Minute - 1)
	next(4)
	p.Ran(time.Minute)
	next(1)
	next(2)
}
