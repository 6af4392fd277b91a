package measure

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/go-gipc/gipc/bench/internal/work"
)

// Options say how long a measurement takes.
type Options struct {
	Rounds int
	Round  time.Duration // about what one Run takes
	Log    func(format string, args ...any)
}

// Row is what one rival did in one workload.
type Row struct {
	Name, About, Version string

	Time     Spread // of one message, in ns
	P50, P99 Spread // of one round trip, in ns; zero for other workloads
	Ratio    Spread // the base's time through this one's, in the same round; zero if the base is missing
	Missing  string // why there are no figures, if there are none
}

// Result is a workload's rows, in the order of its rivals.
type Result struct {
	Workload work.Workload
	Rows     []Row
}

// contestant is a rival that is ready.
type contestant struct {
	rival   work.Rival
	session work.Session
	n       int // messages in one Run
	rounds  []work.Round
	err     error // of its session, which is then closed
}

// Run lets the rivals do the workload, alternating round by round. Who doesn't offer it has no row. A rival that fails has a row
// that says so, and the others go on.
func Run(w work.Workload, rivals []work.Rival, o Options) Result {
	var all []*contestant
	for _, r := range rivals {
		c := &contestant{rival: r}
		c.session, c.err = r.Open(w)
		if errors.Is(c.err, work.ErrNotOffered) {
			continue
		}
		if all = append(all, c); c.err == nil {
			c.warmUp(o.Round)
		}
	}
	for round := range o.Rounds {
		for i := range all { // who is first changes, too
			all[(i+round)%len(all)].run()
		}
	}
	result := Result{Workload: w}
	for _, c := range all {
		c.close()
		if c.err != nil {
			o.Log("%s: %s: %v", w.ID(), c.rival.Name(), c.err)
		}
		result.Rows = append(result.Rows, c.row(w, all))
	}
	return result
}

// warmUp finds how many messages take about a round. The first message is left out, since it waits for the child to start.
func (c *contestant) warmUp(round time.Duration) {
	if _, err := c.session.Run(1); err != nil {
		c.fail(err)
		return
	}
	const most = 1 << 24
	for c.n = 1; ; {
		took, err := c.fastest()
		if err != nil {
			c.fail(err)
			return
		}
		enough := took > round/2
		c.n = int(min(most, max(1, int64(float64(c.n)*min(16, float64(round)/float64(took))))))
		if enough || c.n == most {
			return
		}
	}
}

// fastest runs twice, in case something else on the machine had one of them.
func (c *contestant) fastest() (time.Duration, error) {
	var took [2]time.Duration
	for i := range took {
		r, err := c.session.Run(c.n)
		if err != nil {
			return 0, err
		}
		took[i] = max(r.Total, 1)
	}
	return min(took[0], took[1]), nil
}

func (c *contestant) run() {
	if c.err != nil {
		return
	}
	runtime.GC() // what the one before has left is not this one's to collect
	r, err := c.session.Run(c.n)
	if err != nil {
		c.fail(err)
		return
	}
	c.rounds = append(c.rounds, r)
}

func (c *contestant) fail(err error) {
	c.close()
	c.err = err
}

// close closes the session once. An error of it counts only if there is no other.
func (c *contestant) close() {
	if c.err != nil || c.session == nil {
		return
	}
	if err := c.session.Close(); err != nil {
		c.err = fmt.Errorf("close: %w", err)
	}
	c.session = nil
}

// times are those of one message in each round. In round trips it is the round's median.
func (c *contestant) times(w work.Workload) []float64 {
	var times []float64
	for _, r := range c.rounds {
		if w.Kind == work.Echo {
			times = append(times, float64(r.P50))
		} else {
			times = append(times, float64(r.Total)/float64(c.n))
		}
	}
	return times
}

func (c *contestant) row(w work.Workload, all []*contestant) Row {
	row := Row{Name: c.rival.Name(), About: c.rival.About(), Version: c.rival.Version()}
	if c.err != nil {
		row.Missing = c.err.Error()
		return row
	}
	times := c.times(w)
	row.Time = SpreadOf(times)
	if w.Kind == work.Echo {
		var p99 []float64
		for _, r := range c.rounds {
			p99 = append(p99, float64(r.P99))
		}
		row.P50, row.P99 = row.Time, SpreadOf(p99)
	}
	for _, b := range all {
		if b.rival.Name() == w.Base && b.err == nil {
			row.Ratio = SpreadOf(Ratios(b.times(w), times))
		}
	}
	return row
}
