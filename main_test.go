package gipc

import (
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func TestMain(m *testing.M) {
	// The race detector makes every process sleep for a second before it exits: children need not.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	spawnBeforeInit()
	Init()
	test.Prepare()
	os.Exit(m.Run())
}
