package gipc

import (
	"fmt"
	"math"
	"time"
)

// Strategy says what a Supervisor restarts when one child has to be restarted.
type Strategy int

// The strategies. Under OneForAll and RestForOne a child is started only when those before it are ready.
const (
	// OneForOne restarts that child alone: its siblings don't depend on it.
	OneForOne Strategy = iota

	// OneForAll stops all other children, in reverse order of their start, and starts all of them again in order.
	OneForAll

	// RestForOne stops the children that were started after that one, in reverse order, and starts it and them again in
	// order.
	RestForOne
)

func (s Strategy) String() string {
	return nameAt(int(s), "one for one", "one for all", "rest for one")
}

// Restart says when a child that has ended is started again.
type Restart int

const (
	// Permanent children are restarted however they ended, also if it was well.
	Permanent Restart = iota

	// Transient children are restarted if they failed. One that ended well is done.
	Transient

	// Temporary children are never restarted, not even with their siblings. The failure of one is reported to OnEvent and
	// the Logger, and is no failure of the Supervisor.
	Temporary
)

// restarts says whether a child that has ended by itself, with err, is started again.
func (r Restart) restarts(err error) bool { return r == Permanent || r == Transient && err != nil }

func (r Restart) String() string {
	return nameAt(int(r), "permanent", "transient", "temporary")
}

// nameAt is the String of a small enumeration.
func nameAt(i int, names ...string) string {
	if i < 0 || i >= len(names) {
		return fmt.Sprintf("unknown (%d)", i)
	}
	return names[i]
}

// Backoff says how long a Supervisor waits before it restarts a child. The delay doubles from one restart to the next, up
// to Max; each time, a random part of up to a half is taken off, so that children which failed together don't all come
// back at the same moment. The zero value is good.
type Backoff struct {
	Min     time.Duration // before the first restart; 0: 100 ms
	Max     time.Duration // not below Min; 0: 10 s, or Min if that is more
	Healthy time.Duration // after running that long, a child starts at Min again; 0: SupervisorOptions.Window
}

const (
	defaultMaxRestarts = 5
	defaultWindow      = 30 * time.Second
	defaultMinBackoff  = 100 * time.Millisecond
	defaultMaxBackoff  = 10 * time.Second
)

func (b *Backoff) setDefaults(window time.Duration) {
	if b.Min == 0 {
		b.Min = defaultMinBackoff
	}
	if b.Max == 0 {
		b.Max = max(b.Min, defaultMaxBackoff)
	}
	if b.Healthy == 0 {
		b.Healthy = window
	}
}

// delay is the time to wait after failures in a row; random is in [0, 1).
func (b *Backoff) delay(failures int, random float64) time.Duration {
	d := float64(b.Min) * math.Pow(2, float64(failures))
	d = min(d, float64(b.Max))
	return time.Duration(d - d/2*random)
}

// restartPolicy decides about the restarts of one child. It knows nothing of processes and clocks.
type restartPolicy struct {
	limit   int
	window  time.Duration
	backoff Backoff
	random  func() float64 // in [0, 1)

	recent   []time.Time // restarts within the window, oldest first
	failures int         // since the child was last healthy
}

// next is asked at the time now, when the child has ended after running for ran. It returns how long to wait before the
// restart, or false if there were too many.
func (p *restartPolicy) next(now time.Time, ran time.Duration) (delay time.Duration, ok bool) {
	for len(p.recent) > 0 && now.Sub(p.recent[0]) >= p.window {
		p.recent = p.recent[1:]
	}
	if len(p.recent) >= p.limit {
		return 0, false
	}
	p.recent = append(p.recent, now)
	if ran >= p.backoff.Healthy {
		p.failures = 0
	}
	delay = p.backoff.delay(p.failures, p.random())
	p.failures++
	return delay, true
}
