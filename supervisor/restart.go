package supervisor

import (
	"fmt"
	"time"

	"github.com/go-gipc/gipc/internal/restart"
)

// Strategy says what a Supervisor restarts when one child has to be restarted.
type Strategy int

// The strategies. Under OneForAll and RestForOne a child is started only when those before it are ready.
const (
	// OneForOne restarts that child alone: its siblings don't depend on it.
	OneForOne Strategy = iota

	// OneForAll stops all other children, in reverse order of their start, and starts all of them again in order.
	OneForAll

	// RestForOne stops the children that were started after that one, in reverse order, and starts that one and them again
	// in order.
	RestForOne
)

func (s Strategy) String() string {
	return nameAt(int(s), "one for one", "one for all", "rest for one")
}

// Restart says when a child that has ended is started again.
type Restart int

const (
	// Permanent children are always restarted, even if they ended well.
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
// to Max. A random part of up to a half is taken off each delay, so that children which failed together don't all come
// back at the same moment. The zero value is good.
type Backoff struct {
	// Min is the delay before the first restart. 0: 100 ms.
	Min time.Duration

	// Max is the longest delay. It must not be below Min. 0: 10 s, or Min if that is more.
	Max time.Duration

	// Healthy is how long a child must run to count as healthy. When a healthy child ends, the delay before its next
	// restart is Min again, even if it was stopped because a sibling failed. 0: Options.Window.
	Healthy time.Duration
}

const (
	defaultMaxRestarts = 5
	defaultWindow      = 30 * time.Second
)

// policy is that of one child.
func (o *Options) policy(random func() float64) restart.Policy {
	return restart.Policy{Limit: o.MaxRestarts, Window: o.Window, Backoff: restart.Backoff(o.Backoff), Random: random}
}
