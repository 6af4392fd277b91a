//go:build !linux

package limits

import "os"

// first names any limit that is set.
func (l *Limits) first() string {
	switch {
	case l.Memory > 0:
		return "Memory"
	case l.CPU > 0:
		return "CPU"
	case l.Files > 0:
		return "Files"
	case l.Processes > 0:
		return "Processes"
	case l.FileSize > 0:
		return "FileSize"
	case l.NoCore:
		return "NoCore"
	case l.Cgroup != "":
		return "Cgroup"
	}
	return ""
}

// hold has nothing to do: what these systems can hold, a job does, which the parent made.
func (*Limits) hold() error { return nil }

func (*Limits) bySignal(os.Signal) string { return "" }
