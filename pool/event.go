package pool

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-gipc/gipc/internal/events"
)

// EventKind says what happened to a worker.
type EventKind int

// What happens to a worker, in this order.
const (
	EventStarted EventKind = iota // its process was started
	EventReady                    // it takes tasks
	EventEnded                    // its process has ended, or could not be started: Event.Reason and Event.Err tell why
)

func (k EventKind) String() string { return nameAt(int(k), "started", "ready", "ended") }

// Reason says why a worker ended.
type Reason int

// Why a worker ended.
const (
	ReasonNone       Reason = iota
	ReasonLost              // it crashed, was killed from outside, exited, or broke the protocol
	ReasonNotStarted        // it could not be started, or ended before it was ready
	ReasonOverdue           // it was killed, because a cancelled task did not return within Options.Grace
	ReasonIdle              // it had nothing to do for Options.Idle
	ReasonWorn              // MaxTasks, MaxAge or MaxMemory was reached
	ReasonReplaced          // Replace was called
	ReasonClosed            // the pool was closed, or is drained
)

func (r Reason) String() string {
	return nameAt(int(r), "", "lost", "not started", "overdue", "idle", "worn", "replaced", "closed")
}

func nameAt(i int, names ...string) string {
	if i < 0 || i >= len(names) {
		return fmt.Sprintf("unknown (%d)", i)
	}
	return names[i]
}

// Event is what a Pool reports to OnEvent and its Logger.
type Event struct {
	Time    time.Time
	Kind    EventKind
	Task    string // the pool's
	PID     int    // of the worker; 0 where no process came to be
	Tasks   int    // how many it had
	Reason  Reason // of EventEnded
	Err     error  // of EventEnded: how it ended or why it could not be started; nil if it ended well
	Dropped int    // events lost just before this one, because OnEvent or the Logger was too slow
}

// String returns the event in one line, without its time.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "worker of %s (pid %d) %v", e.Task, e.PID, e.Kind)
	if e.Reason != ReasonNone {
		fmt.Fprintf(&b, " (%v, after %d tasks)", e.Reason, e.Tasks)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Dropped > 0 {
		fmt.Fprintf(&b, " (%d events before this were dropped)", e.Dropped)
	}
	return b.String()
}

func (e Event) log(l *slog.Logger) {
	level := slog.LevelDebug
	if e.Reason == ReasonLost || e.Reason == ReasonNotStarted || e.Reason == ReasonOverdue {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("task", e.Task), slog.Int("pid", e.PID)}
	if e.Kind == EventEnded {
		attrs = append(attrs, slog.Int("tasks", e.Tasks), slog.String("reason", e.Reason.String()))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("err", e.Err))
	}
	if e.Dropped > 0 {
		attrs = append(attrs, slog.Int("dropped", e.Dropped))
	}
	l.LogAttrs(context.Background(), level, "gipc: worker "+e.Kind.String(), attrs...)
}

func newEvents(o *Options) *events.Queue[Event] {
	var sinks []func(Event)
	if l := o.Logger; l != nil {
		sinks = append(sinks, func(e Event) { e.log(l) })
	}
	if o.OnEvent != nil {
		sinks = append(sinks, o.OnEvent)
	}
	return events.NewQueue(sinks...)
}

// TaskInfo is what OnTask gets of a task that has ended.
type TaskInfo struct {
	Task   string
	Waited time.Duration // for a worker, all starts together
	Ran    time.Duration // on workers, the sending of the argument included
	Starts int           // 0 if it never reached a worker
	PID    int           // of the last worker; 0 without one
	Err    error         // what Do returns
}

// Stats are counters of a Pool. A worker that crashes while it finishes its last tasks counts in Lost and in Replaced.
type Stats struct {
	Workers  int    // processes, those that start and end included
	Idle     int    // workers with nothing to do
	Running  int    // tasks on workers
	Waiting  int    // tasks that wait for one
	Done     uint64 // tasks with a result
	Failed   uint64 // tasks that were taken and have none
	Retried  uint64 // starts of tasks after the first
	Lost     uint64 // workers that ended under a task or by themselves
	Replaced uint64 // workers ended for MaxTasks, MaxAge, MaxMemory, Replace or an overdue task

	Waited, Ran time.Duration // sums over all tasks
}
