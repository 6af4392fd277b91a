// Package report writes results as Markdown and plots.
package report

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what the figures depend on.
type Machine struct {
	CPU    string
	CPUs   int
	Kernel string
	Go     string
	Commit string // "" if it is not known
}

// ThisMachine asks the system. What it doesn't tell stays out.
func ThisMachine(commit string) Machine {
	return Machine{CPU: cpu(), CPUs: runtime.GOMAXPROCS(0), Kernel: kernel(), Go: runtime.Version(), Commit: commit}
}

func cpu() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(release))
}

// Load is the mean number of processes that ran or wanted to in the last minute. It is negative where the system doesn't tell.
func Load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return -1
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return -1
	}
	return load
}

// Busy reports whether others used the machine, by the load before the run.
func (m Machine) Busy(load float64) bool { return load >= float64(m.CPUs)/4 }

func (m Machine) String() string {
	s := fmt.Sprintf("%s, %d CPUs, %s, %s", m.CPU, m.CPUs, m.Kernel, m.Go)
	if m.Commit != "" {
		s += ", commit " + m.Commit
	}
	return s
}
