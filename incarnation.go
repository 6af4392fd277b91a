package gipc

import (
	"errors"
	"fmt"
	"time"
)

// incarnation is one run of a child: a *Process, or a fake in tests. It ends when the ctx ends that it was started with.
type incarnation interface {
	PID() int
	Done() <-chan struct{}
	exitErr() error                 // once it is done: how it ended
	fail(reason error)              // kills it
	reportedReady() <-chan struct{} // closed when it has called Ready
	ping(timeout time.Duration)     // asks it for a sign of life
	pongs() <-chan struct{}         // the answers
}

// livenessTicks is how many questions may go unanswered before a child counts as dead. Counting ticks, and not only
// time, spares the children when it was this process that stood still.
const livenessTicks = 4

// watch waits for the end of a child. It reports its readiness, and kills it if it doesn't become ready in time or stops
// answering.
type watch struct {
	child    incarnation
	ready    func()        // called when the child reports that it is ready
	wait     time.Duration // until then; 0: it need not report
	liveness time.Duration // 0: it is not asked
}

func (w *watch) run() {
	var reported <-chan struct{}
	var late <-chan time.Time
	if w.wait > 0 {
		timer := time.NewTimer(w.wait)
		defer timer.Stop()
		reported, late = w.child.reportedReady(), timer.C
	}
	var ticks <-chan time.Time
	tick := max(w.liveness/livenessTicks, 1)
	if w.liveness > 0 {
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for asked, missed := false, 0; ; {
		select {
		case <-w.child.Done():
			return
		case <-reported:
			w.ready()
			reported, late = nil, nil
		case <-late:
			w.child.fail(fmt.Errorf("killed: %w: no call of Ready within %v", ErrNotReady, w.wait))
			reported, late = nil, nil
		case <-w.child.pongs():
			asked, missed = false, 0
		case <-ticks:
			if !asked {
				asked, missed = true, 0
				w.child.ping(tick)
				continue
			}
			if missed++; missed == livenessTicks {
				w.child.fail(fmt.Errorf("killed: %w for %v", errNoAnswer, w.liveness))
				ticks = nil
			}
		}
	}
}

var errNoAnswer = errors.New("no answer on the control channel")
