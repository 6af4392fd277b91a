//go:build unix

package gipc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// systemFailures are those that depend on the system.
var systemFailures = map[string]commandFailure{
	"ExtraFiles dropped":   {func(c *exec.Cmd) { c.ExtraFiles = nil }, nil, "other than by appending"},
	"ExtraFiles shifted":   {func(c *exec.Cmd) { c.ExtraFiles = append([]*os.File{os.Stderr}, c.ExtraFiles...) }, nil, "other than by appending"},
	"SysProcAttr replaced": {func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{} }, nil, "replaced SysProcAttr"},
	"no program":           {func(c *exec.Cmd) { c.Path = "/nowhere/at all" }, os.ErrNotExist, ""},
	"no such root":         {func(c *exec.Cmd) { c.SysProcAttr.Chroot = "/nowhere" }, nil, ""},
}

// The limit is reached at every point of a Spawn.
func TestSpawnWithoutDescriptorsMovesNothing(t *testing.T) {
	ctx := test.Context(t)
	var limit syscall.Rlimit
	test.Check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	restore := func() { test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)) }
	defer restore()
	failures := 0
	for n := 0; n < 60; n++ {
		err := failedSpawn(t, ctx, func(ctx context.Context, c cargo) error {
			low := limit
			setTo(&low.Cur, test.FreeDescriptors(t, n))
			test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
			defer restore()
			p, err := Spawn(ctx, entryCargo, c, &SpawnOptions{
				Stdin: strings.NewReader(""), Stdout: new(strings.Builder), Stderr: new(strings.Builder),
			})
			if err == nil {
				test.Check(t, p.Wait(ctx))
			}
			return err
		})
		if err == nil {
			break
		}
		if failures++; !errors.Is(err, syscall.EMFILE) && !errors.Is(err, ErrNotReady) { // it is the child's limit, too
			t.Errorf("%d free descriptors: %v", n, err)
		}
		if t.Failed() {
			t.Fatalf("with %d free descriptors", n)
		}
	}
	if failures < 15 || failures == 60 {
		t.Errorf("Spawn failed with up to %d free descriptors", failures-1)
	}
}

// setTo sets a number that isn't of the same type everywhere.
func setTo[N int64 | uint64](n *N, to int) { *n = N(to) }
