package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-gipc/gipc"
)

var _ incarnation = (*gipc.Process)(nil)

// incarnation is one run of a child: a *gipc.Process, or a fake in tests. It ends when the ctx ends that it was started with.
type incarnation interface {
	PID() int
	Done() <-chan struct{}
	Wait(ctx context.Context) error
	KillCause(cause error) error
	WaitReady(ctx context.Context) error
	Ping(ctx context.Context) error
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

// turn is how long a goroutine may take to see what has come in while this process stood still.
const turn = 50 * time.Millisecond

// run returns how the child ended.
func (w *watch) run() error {
	var helpers sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer helpers.Wait()
	defer cancel()

	var late <-chan time.Time
	isReady := make(chan struct{})
	reported := isReady // nil once it doesn't matter any more
	if w.wait > 0 {
		timer := time.NewTimer(w.wait)
		defer timer.Stop()
		late = timer.C
		helpers.Go(func() {
			if w.child.WaitReady(ctx) == nil {
				close(isReady)
			}
		})
	}
	var ticks <-chan time.Time
	if w.liveness > 0 {
		ticker := time.NewTicker(max(w.liveness/livenessTicks, 1))
		defer ticker.Stop()
		ticks = ticker.C
	}
	answers := make(chan struct{}, 1)
	for asked, missed := false, 0; ; {
		select {
		case <-w.child.Done():
			if w.wait > 0 && reported != nil && w.child.WaitReady(ctx) == nil { // before its end
				w.ready()
			}
			return w.child.Wait(ctx)
		case <-reported:
			w.ready()
			reported, late = nil, nil
		case <-late:
			if w.readyNow(ctx) { // this process stood still, and sees both at once
				w.ready()
			} else {
				w.kill(fmt.Errorf("%w: it did not call Ready within %v", gipc.ErrNotReady, w.wait))
			}
			reported, late = nil, nil
		case <-answers:
			asked, missed = false, 0
		case <-ticks:
			if !asked {
				asked, missed = true, 0
				helpers.Go(func() {
					if w.child.Ping(ctx) == nil {
						answers <- struct{}{}
					}
				})
				continue
			}
			if missed++; missed < livenessTicks {
				continue
			}
			select {
			case <-answers: // this process stood still, and sees both at once
				asked, missed = false, 0
			case <-w.child.Done():
			case <-time.After(turn):
				w.kill(fmt.Errorf("%w for %v", errNoAnswer, w.liveness))
				ticks = nil
			}
		}
	}
}

// readyNow says whether the child has reported that it is ready, once what has come in is seen.
func (w *watch) readyNow(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	return w.child.WaitReady(ctx) == nil
}

// kill ignores the error: it says that the child has ended.
func (w *watch) kill(why error) { _ = w.child.KillCause(why) }

var errNoAnswer = errors.New("no answer on the control channel")
