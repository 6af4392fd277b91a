package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-gipc/gipc/internal/events"
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

// eventPatience is how long the Supervisor waits at its end for one call of a slow OnEvent or Logger.
const eventPatience = time.Second

// reporter hands events to the user. Only the supervisor's goroutine calls its methods.
type reporter struct{ queue *events.Queue[Event] }

func newReporter(onEvent func(Event), logger *slog.Logger) *reporter {
	var sinks []func(Event)
	if logger != nil {
		sinks = append(sinks, func(e Event) { e.log(logger) })
	}
	if onEvent != nil {
		sinks = append(sinks, onEvent)
	}
	return &reporter{events.NewQueue(sinks...)}
}

func (r *reporter) report(e Event) { r.queue.Report(e.after) }

// finish reports the last event and waits until all are delivered, or one call of user code has taken too long.
func (r *reporter) finish(last Event) { r.queue.Finish(eventPatience, last.after) }

// after returns the event as it happens now, after some were dropped.
func (e Event) after(dropped int) Event {
	e.Time, e.Dropped = time.Now(), dropped
	return e
}
