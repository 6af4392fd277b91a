//go:build unix && !linux

package limits

import (
	"os/exec"
	"time"
)

// Cgroup is never made here.
type Cgroup struct{}

// NewCgroup returns nil.
func (l *Limits) NewCgroup(*exec.Cmd) (*Cgroup, error) { return nil, nil }

// Start starts a command.
func (g *Cgroup) Start(cmd *exec.Cmd) error { return cmd.Start() }

// End has nothing to end.
func (g *Cgroup) End(time.Duration) (Events, error) { return Events{}, nil }
