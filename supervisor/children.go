package supervisor

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-gipc/gipc/internal/restart"
)

// ChildState is what a Supervisor's child is doing.
type ChildState int

// The states of a child.
const (
	ChildWaiting    ChildState = iota // for its turn to be started
	ChildStarting                     // args or Spawn runs, or the child has yet to call Ready
	ChildRunning                      // it is ready
	ChildStopping                     // it was asked to stop
	ChildBackingOff                   // it failed, and will be restarted after a while
	ChildEnded                        // for good
)

func (s ChildState) String() string {
	return nameAt(int(s), "waiting", "starting", "running", "stopping", "backing off", "ended")
}

// ChildStatus is one line of Supervisor.Children.
type ChildStatus struct {
	Name     string
	PID      int // 0: there is no process now
	State    ChildState
	Restarts int
	Uptime   time.Duration // since it became ready; 0: it is not ready
	LastErr  error         // its last failure; nil: it never failed
}

// ChildList is a snapshot of a Supervisor's children, in the order of their start. It prints as a table.
type ChildList []ChildStatus

// String returns a table with one line for each child.
func (l ChildList) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	// Writing to a strings.Builder doesn't fail.
	_, _ = fmt.Fprintln(w, "NAME\tPID\tSTATE\tRESTARTS\tUPTIME\tLAST ERROR")
	for _, c := range l {
		pid, uptime, lastErr := "-", "-", "-"
		if c.PID != 0 {
			pid = fmt.Sprint(c.PID)
		}
		if c.Uptime != 0 {
			uptime = c.Uptime.Round(time.Millisecond).String()
		}
		if c.LastErr != nil {
			lastErr = oneLine(c.LastErr.Error())
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%v\t%d\t%s\t%s\n", oneLine(c.Name), pid, c.State, c.Restarts, uptime, lastErr)
	}
	_ = w.Flush()
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// child is one child of a supervisor, in all its incarnations.
type child struct {
	spec   ChildSpec
	name   string
	state  ChildState
	policy restart.Policy

	started bool                    // Spawn has returned, at least once
	running incarnation             // nil before Spawn has returned, and after the end
	cancel  context.CancelCauseFunc // asks the incarnation to stop; set while it is alive
	since   time.Time               // when it became ready; zero before
	due     time.Time               // when its backoff ends

	condemned bool // to be stopped, when those after it have ended
	asked     bool // its turn has come
	again     bool // and then to be started again

	restarts int
	lastErr  error
}

// alive says whether an incarnation's goroutine exists.
func (c *child) alive() bool { return c.state == ChildStarting || c.state == ChildRunning }

func (c *child) pid() int {
	if c.running == nil {
		return 0
	}
	return c.running.PID()
}

func (l *loop) snapshot() ChildList {
	list := make(ChildList, 0, len(l.children))
	for _, c := range l.children {
		s := ChildStatus{Name: c.name, PID: c.pid(), State: c.state, Restarts: c.restarts, LastErr: c.lastErr}
		if c.condemned {
			s.State = ChildStopping
		}
		if c.state == ChildRunning {
			s.Uptime = max(time.Since(c.since), 1)
		}
		list = append(list, s)
	}
	return list
}
