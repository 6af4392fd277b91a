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
	Healthy time.Duration // after a run of at least this long the delay is Min again
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

// Delay is the time to wait after failures in a row, 0 after the first; random is in [0, 1).
func (b *Backoff) Delay(failures int, random float64) time.Duration {
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

// Next is called when the thing has ended, at the time now, after it ran for ran. It returns how long to wait before the
// restart, or false if there were too many restarts.
func (p *Policy) Next(now time.Time, ran time.Duration) (delay time.Duration, ok bool) {
	for len(p.recent) > 0 && now.Sub(p.recent[0]) >= p.Window {
		p.recent = p.recent[1:]
	}
	if len(p.recent) >= p.Limit {
		return 0, false
	}
	p.recent = append(p.recent, now)
	p.Ran(ran)
	delay = p.Backoff.Delay(p.failures, p.Random())
	p.failures++
	return delay, true
}

// Ran notes a run that lasted for ran. After a healthy one the delay is Min again. Next does this for the run that it is asked
// about; call Ran for a run that was ended for another reason than a failure of its own.
func (p *Policy) Ran(ran time.Duration) {
	if ran >= p.Backoff.Healthy {
		p.failures = 0
	}
}

// Recent returns how many restarts there were within Window when Next was last asked.
func (p *Policy) Recent() int { return len(p.recent) }
