package restart

import (
	"math"
	"time"
)

// Backoff says how long to wait before a restart. The delay doubles from one restart to the next, up to Max; each time, a
// random part of up to a half is taken off.
type Backoff struct {
	Min     time.Duration // before the first restart
	Max     time.Duration
	Healthy time.Duration // what has run for so long starts at Min again
}

const (
	defaultMinBackoff = 100 * time.Millisecond
	defaultMaxBackoff = 10 * time.Second
)

// SetDefaults gives what is zero its default; healthy is that of Healthy.
func (b *Backoff) SetDefaults(healthy time.Duration) {
	if b.Min == 0 {
		b.Min = defaultMinBackoff
	}
	if b.Max == 0 {
		b.Max = max(b.Min, defaultMaxBackoff)
	}
	if b.Healthy == 0 {
		b.Healthy = healthy
	}
}

// delay is the time to wait after failures in a row; random is in [0, 1).
func (b *Backoff) delay(failures int, random float64) time.Duration {
	d := float64(b.Min) * math.Pow(2, float64(failures))
	d = min(d, float64(b.Max))
	return time.Duration(d - d/2*random)
}

// Policy decides about the restarts of one thing. It is for one goroutine at a time.
type Policy struct {
	Limit   int // restarts within Window
	Window  time.Duration
	Backoff Backoff
	Random  func() float64 // in [0, 1)

	recent   []time.Time // restarts within Window, oldest first
	failures int         // since it was last healthy
}

// Next is asked at the time now, when it has ended after running for ran. It returns how long to wait before the
// restart, or false if there were too many.
func (p *Policy) Next(now time.Time, ran time.Duration) (delay time.Duration, ok bool) {
	for len(p.recent) > 0 && now.Sub(p.recent[0]) >= p.Window {
		p.recent = p.recent[1:]
	}
	if len(p.recent) >= p.Limit {
		return 0, false
	}
	p.recent = append(p.recent, now)
	if ran >= p.Backoff.Healthy {
		p.failures = 0
	}
	delay = p.Backoff.delay(p.failures, p.Random())
	p.failures++
	return delay, true
}

// Recent returns how many restarts there were within Window when Next was last asked.
func (p *Policy) Recent() int { return len(p.recent) }
