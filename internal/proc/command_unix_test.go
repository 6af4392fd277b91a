//go:build unix

package proc

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/claim"
	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// systemFailures are those that depend on the system.
var systemFailures = map[string]failure{
	"ExtraFiles dropped":   {func(c *exec.Cmd) { c.ExtraFiles = nil }, nil, "other than by appending"},
	"ExtraFiles shifted":   {func(c *exec.Cmd) { c.ExtraFiles = append([]*os.File{os.Stderr}, c.ExtraFiles...) }, nil, "other than by appending"},
	"SysProcAttr replaced": {func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{} }, nil, "replaced SysProcAttr"},
	"no program":           {func(c *exec.Cmd) { c.Path = "/nowhere/at all" }, os.ErrNotExist, ""},
	"no such root":         {func(c *exec.Cmd) { c.SysProcAttr.Chroot = "/nowhere" }, nil, ""},
}

func TestAppendedFileIsInherited(t *testing.T) {
	r, w, err := fd.NewOutputPipe()
	test.Check(t, err)
	defer r.Close()
	var number int
	c := begin(t, "write", Command{Change: func(cmd *exec.Cmd) {
		number = claim.First + len(cmd.ExtraFiles)
		cmd.ExtraFiles = append(cmd.ExtraFiles, w)
	}})
	test.Check(t, w.Close())
	c.order(t, string(rune('0'+number)))
	got := make([]byte, 100)
	n, err := r.Read(got)
	test.Check(t, err)
	test.Equal(t, string(got[:n]), "written to 0")
	c.endsWith(t, 0)
}

// A process that leads no group ends alone.
func TestExitWithGroupWithoutOne(t *testing.T) {
	c := begin(t, "parent exits with its group", Command{Change: func(cmd *exec.Cmd) { cmd.SysProcAttr.Setpgid = false }})
	grandchild := processOf(t, c.said(t))
	c.order(t, "exit")
	c.endsWith(t, 7)
	test.Check(t, grandchild.Kill())
}

// The limit is reached at every point of a Start.
func TestStartWithoutDescriptorsLeavesNothing(t *testing.T) {
	test.Bounded(t)
	var limit syscall.Rlimit
	test.Check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	restore := func() { test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)) }
	defer restore()
	before := test.OpenDescriptors(t)
	for n := 0; n < 60; n++ {
		low := limit
		setTo(&low.Cur, test.FreeDescriptors(t, n))
		test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
		child, err := Start(fed(Command{}))
		restore()
		if err == nil {
			c := (&life{Child: child}).serve()
			_ = c.end() // the limit was the child's, too
			if n < 10 {
				t.Errorf("it started with %d free descriptors", n)
			}
			return
		}
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%d free descriptors: %v", n, err)
		}
		test.Equal(t, test.OpenDescriptors(t), before)
	}
	t.Error("it never started")
}

// A child without one of its pipes would take another descriptor for it.
func TestPipesAreAllThereOrOpenFails(t *testing.T) {
	for log, all := range map[bool]int{false: 3, true: 4} {
		opened := false
		for n := 0; !opened; n++ {
			opened = openPipes(t, log, all, n)
		}
	}
}

// openPipes opens all pipes of a child with n free descriptors, and says whether that went well.
func openPipes(t *testing.T, log bool, all, n int) bool {
	t.Helper()
	var limit syscall.Rlimit
	test.Check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	low := limit
	setTo(&low.Cur, test.FreeDescriptors(t, n))
	before := test.OpenDescriptors(t)
	test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
	var p pipes
	err := p.open(log)
	test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if err == nil {
		test.Equal(t, len(p.mine), all)
		test.Equal(t, len(p.child), all)
	} else {
		test.Is(t, err, syscall.EMFILE)
	}
	p.abandon()
	test.Equal(t, test.OpenDescriptors(t), before)
	return err == nil
}

// setTo sets a number that isn't of the same type everywhere.
func setTo[N int64 | uint64](n *N, to int) { *n = N(to) }
