package pool

import (
	"io"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// The kernel kills workers that take more memory than their cgroup has.
func TestStormOfOOMKills(t *testing.T) {
	if test.RaceEnabled() {
		t.Skip("the race detector needs more memory than the limit")
	}
	limits := &gipc.Limits{Memory: 64 << 20, Cgroup: test.Cgroup(t, "memory")}
	hoarders(t, Options{Spawn: &gipc.SpawnOptions{Limits: limits, Stderr: io.Discard}})
}
