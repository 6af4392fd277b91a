//go:build unix && !linux

package limits

import "os"

// unsupported names any limit: without libc these systems don't let a program restore a signal's default action, and what
// their other limits count differs from one to the next.
func (l *Limits) unsupported() string {
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

func (*Limits) hold() error { return nil }

func (*Limits) bySignal(os.Signal) string { return "" }
