package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// EventKind says what happened.
type EventKind int

// What happens to a child, in this order.
const (
	EventStarting   EventKind = iota // args is about to run, then Spawn
	EventReady                       // the child is ready
	EventExited                      // the child ended by itself, or could not be started
	EventRestarting                  // it will be restarted after Event.Delay
	EventGaveUp                      // it was restarted too often: the Supervisor stops with Event.Err
	EventStopped                     // the Supervisor stopped the child, or, without Event.Child, has ended itself
)

func (k EventKind) String() string {
	return nameAt(int(k), "starting", "ready", "exited", "restarting", "gave up", "stopped")
}

// Event is what a Supervisor reports to OnEvent and its Logger.
type Event struct {
	Time     time.Time
	Kind     EventKind
	Child    string        // its name; "" where the event concerns the Supervisor
	PID      int           // 0 where there is no process
	Restarts int           // of the child so far
	Delay    time.Duration // of EventRestarting
	Err      error         // why the child ended, or could not be started; nil if it ended well
	Dropped  int           // events lost just before this one, because OnEvent or the Logger was too slow
}

// String returns the event in one line, without its time.
func (e Event) String() string {
	var b strings.Builder
	if e.Child == "" {
		b.WriteString("supervisor")
	} else {
		fmt.Fprintf(&b, "child %s", e.Child)
	}
	if e.PID != 0 {
		fmt.Fprintf(&b, " (pid %d)", e.PID)
	}
	b.WriteString(" " + e.Kind.String())
	if e.Kind == EventRestarting {
		fmt.Fprintf(&b, " in %v", e.Delay.Round(time.Millisecond))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Dropped > 0 {
		fmt.Fprintf(&b, " (%d events before this were dropped)", e.Dropped)
	}
	return b.String()
}

func (e Event) level() slog.Level {
	switch {
	case e.Kind == EventGaveUp:
		return slog.LevelError
	case e.Err != nil:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (e Event) log(l *slog.Logger) {
	attrs := make([]slog.Attr, 0, 6)
	add := func(is bool, a slog.Attr) {
		if is {
			attrs = append(attrs, a)
		}
	}
	add(e.Child != "", slog.String("child", e.Child))
	add(e.PID != 0, slog.Int("pid", e.PID))
	add(e.Restarts != 0, slog.Int("restarts", e.Restarts))
	add(e.Kind == EventRestarting, slog.Duration("delay", e.Delay))
	add(e.Err != nil, slog.Any("err", e.Err))
	add(e.Dropped != 0, slog.Int("dropped", e.Dropped))
	what := "gipc: child "
	if e.Child == "" {
		what = "gipc: supervisor "
	}
	l.LogAttrs(context.Background(), e.level(), what+e.Kind.String(), attrs...)
}

// maxEvents is how many events wait for a slow OnEvent or Logger before further ones are dropped.
const maxEvents = 1024

// eventPatience is how long the Supervisor waits at its end for one call of a slow OnEvent or Logger.
const eventPatience = time.Second

// reporter hands events to user code in a goroutine of its own, so that the supervisor never waits for it. Only the supervisor's
// goroutine calls report and finish.
type reporter struct {
	queue    chan Event    // nil: nobody wants events
	returned chan struct{} // holds something when a call of user code has returned
	done     chan struct{} // closed when all events are delivered
	dropped  int
}

func newReporter(onEvent func(Event), logger *slog.Logger) *reporter {
	r := &reporter{}
	if onEvent == nil && logger == nil {
		return r
	}
	r.queue, r.returned, r.done = make(chan Event, maxEvents), make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(r.done)
		for e := range r.queue {
			if logger != nil {
				e.log(logger)
				r.noteReturn()
			}
			if onEvent != nil {
				onEvent(e)
				r.noteReturn()
			}
		}
	}()
	return r
}

func (r *reporter) noteReturn() {
	select {
	case r.returned <- struct{}{}:
	default:
	}
}

func (r *reporter) report(e Event) {
	if r.queue == nil {
		return
	}
	e.Time, e.Dropped = time.Now(), r.dropped
	select {
	case r.queue <- e:
		r.dropped = 0
	default:
		r.dropped++
	}
}

// finish reports the last event and waits until all are delivered. It gives up when one call of user code takes longer than
// eventPatience: that code may hang, or be waiting for the supervisor's end itself.
func (r *reporter) finish(last Event) {
	if r.queue == nil {
		return
	}
	patience := time.NewTimer(eventPatience)
	defer patience.Stop()
	last.Time, last.Dropped = time.Now(), r.dropped
	for queue := r.queue; ; {
		select {
		case queue <- last:
			close(queue)
			queue = nil
		case <-r.returned:
			patience.Reset(eventPatience)
		case <-r.done:
			return
		case <-patience.C:
			if queue != nil {
				close(queue)
			}
			return
		}
	}
}
