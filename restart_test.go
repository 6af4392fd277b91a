package gipc

import (
	"math"
	"testing"
	"time"
)

func TestRestartPolicyWindow(t *testing.T) {
	p := restartPolicy{limit: 3, window: 10 * time.Second, backoff: Backoff{Min: 1, Max: 1, Healthy: time.Hour}, random: noRandom}
	at := func(seconds int) time.Time { return time.Unix(1000, 0).Add(time.Duration(seconds) * time.Second) }
	for _, step := range []struct {
		second int
		ok     bool
	}{
		{0, true}, {1, true}, {9, true},
		{9, false},  // three within the last ten seconds
		{10, true},  // the first is ten seconds old
		{10, false}, // 1, 9, 10
		{11, true},
		{100, true}, {101, true}, {102, true}, {103, false},
	} {
		if _, ok := p.next(at(step.second), 0); ok != step.ok {
			t.Errorf("restart at second %d: %v, want %v", step.second, ok, step.ok)
		}
	}
}

func TestRestartPolicyBackoff(t *testing.T) {
	random := 0.0
	p := restartPolicy{
		limit: math.MaxInt, window: time.Hour, random: func() float64 { return random },
		backoff: Backoff{Min: 100 * time.Millisecond, Max: time.Second, Healthy: 30 * time.Second},
	}
	now := time.Unix(1000, 0)
	next := func(ran time.Duration, want time.Duration) {
		t.Helper()
		if delay, ok := p.next(now, ran); !ok || delay != want {
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
	if delay, _ := p.next(now, 0); delay < 200*ms || delay > 201*ms {
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
		if got.setDefaults(time.Minute); got != c.want {
			t.Errorf("%v becomes %v, want %v", c.in, got, c.want)
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
