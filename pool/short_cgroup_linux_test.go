package pool

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// The cgroup of all workers has no process left, as where a container has used up its pids.max.
func TestCgroupShortOfProcesses(t *testing.T) {
	dir := test.Cgroup(t, "pids")
	limit := func(t *testing.T, n string) {
		test.Check(t, os.WriteFile(filepath.Join(dir, "pids.max"), []byte(n), 0))
	}
	short := func(t *testing.T, f func()) {
		limit(t, "0") // those that are there may stay
		defer limit(t, "max")
		f()
	}
	for name, try := range map[string]tryShort{
		"while others are well": shortWhileOthersAreWell,
		"without a worker":      shortWithoutAWorker,
	} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{}
			try(t, newTestPool(t, Options{Max: 8, Min: -1, OnEvent: rec.add, Spawn: &gipc.SpawnOptions{
				Limits: &gipc.Limits{Cgroup: dir},
			}}), rec, short, syscall.EAGAIN)
		})
	}
}
