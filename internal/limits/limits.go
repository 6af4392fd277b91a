package limits

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

// Limits are those of gipc.Limits, which describes them. The methods of a nil *Limits hold nothing.
type Limits struct {
	Memory    int64
	CPU       time.Duration
	Files     int
	Processes int
	FileSize  int64
	NoCore    bool
	Cgroup    string
}

// Names of the limits that can end a process.
const (
	Memory    = "memory"
	CPU       = "cpu"
	Processes = "processes"
	FileSize  = "file size"
)

// Check says whether the limits make sense, and whether this system can hold them.
func (l *Limits) Check() error {
	if l == nil {
		return nil
	}
	if l.Memory < 0 || l.CPU < 0 || l.Files < 0 || l.Processes < 0 || l.FileSize < 0 {
		return fmt.Errorf("a limit is negative (Memory %d, CPU %v, Files %d, Processes %d, FileSize %d)",
			l.Memory, l.CPU, l.Files, l.Processes, l.FileSize)
	}
	if what := l.unsupported(); what != "" {
		return fmt.Errorf("this system can't hold Limits.%s: %w", what, errors.ErrUnsupported)
	}
	return nil
}

// Hold makes this process and all that it starts keep those limits that a process can hold by itself. Call it once.
func (l *Limits) Hold() error {
	if l == nil {
		return nil
	}
	if l.Memory > 0 {
		soft := l.Memory/10*9 + l.Memory%10*9/10
		debug.SetMemoryLimit(min(soft, debug.SetMemoryLimit(-1))) // GOMEMLIMIT may be lower
	}
	return l.hold()
}

// Events are what a cgroup counts of the limits that its processes have hit.
type Events struct {
	Killed  int // processes, for want of memory
	Refused int // processes and threads, for want of room
}

// Ending is what is known of how a process ended.
type Ending struct {
	Signal      os.Signal // nil unless one ended it
	OutOfMemory bool      // Go's runtime ended it because the system gave it no memory
	NoThread    bool      // … no thread, for whose stack there may be no memory
	Events      Events
}

// EndedBy names the limit that ended a process. It returns "" if none did, or the system doesn't tell.
func (l *Limits) EndedBy(e Ending) string {
	switch {
	case l == nil:
		return ""
	case e.Events.Killed > 0 && e.Signal == os.Kill:
		return Memory
	case e.NoThread && e.Events.Refused > 0:
		return Processes
	case (e.OutOfMemory || e.NoThread) && l.Memory > 0 && l.Cgroup == "": // a cgroup kills, and refuses nothing
		return Memory
	}
	return l.bySignal(e.Signal)
}
