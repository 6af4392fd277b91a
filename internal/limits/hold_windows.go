package limits

import "os"

// unsupported names what a job can't hold.
func (l *Limits) unsupported() string {
	switch {
	case l.CPU > 0:
		return "CPU"
	case l.Files > 0:
		return "Files"
	case l.FileSize > 0:
		return "FileSize"
	case l.NoCore:
		return "NoCore"
	case l.Cgroup != "":
		return "Cgroup"
	}
	return ""
}

// hold has nothing to do: the job, which the parent made, holds everything.
func (*Limits) hold() error { return nil }

func (*Limits) bySignal(os.Signal) string { return "" }
