package gipc

import (
	"flag"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// The race detector makes every process sleep for a second before it exits: children need not.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	spawnBeforeInit()
	Init()
	_ = flag.Set("test.parallel", "16") // tests that run in parallel mostly wait
	openPoller()
	os.Exit(m.Run())
}

// openPoller makes Go open its poller's descriptors, which stay, before a test counts any.
func openPoller() {
	if r, w, err := os.Pipe(); err == nil {
		_, _ = r.Close(), w.Close()
	}
}
