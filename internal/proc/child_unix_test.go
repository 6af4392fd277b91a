//go:build unix

package proc

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

const onWindows = false

func TestStatusIsTheSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		c := begin(t, "wait", Command{})
		test.Equal(t, c.said(t), "up")
		test.Check(t, c.Signal(sig))
		test.Check(t, c.end())
		if code, got, known := c.Status(); code != -int(sig) || got != os.Signal(sig) || !known {
			t.Errorf("%v: code %d, signal %v, known %v", sig, code, got, known)
		}
	}
}

func TestStatusIsUnknownWhereSomebodyElseReaps(t *testing.T) {
	test.Bounded(t)
	child, err := Start(doing("exit 3", new(Command)))
	test.Check(t, err)
	var status unix.WaitStatus
	_, err = unix.Wait4(child.PID(), &status, 0, nil)
	test.Check(t, err)
	c := (&life{Child: child}).serve()
	test.Is(t, c.end(), syscall.ECHILD)
	if code, sig, known := c.Status(); code != 0 || sig != nil || known {
		t.Errorf("code %d, signal %v, known %v", code, sig, known)
	}
	test.Equal(t, c.Kill(), os.ErrProcessDone)
}

// Ctrl-C, which goes to a whole group, reaches the parent alone.
func TestChildLeadsItsGroup(t *testing.T) {
	c := begin(t, "wait", Command{})
	test.Equal(t, c.said(t), "up")
	group, err := unix.Getpgid(c.PID())
	test.Check(t, err)
	test.Equal(t, group, c.PID())
}

// What can't be what Start passes on is refused, and no child's main is run.
func TestNonsenseIsNotInherited(t *testing.T) {
	path, err := os.Executable()
	test.Check(t, err)
	for value, want := range map[string]string{"x": "invalid syntax", "": "invalid syntax", "2": "too few descriptors"} {
		cmd := exec.CommandContext(test.Context(t), path)
		cmd.Env = append(os.Environ(), inheritedEnv+"="+value, deedEnv+"=nothing")
		cmd.ExtraFiles = []*os.File{os.Stderr, os.Stderr, os.Stderr}
		said, err := cmd.Output()
		if cmd.ProcessState.ExitCode() != exitRefuse || !strings.Contains(string(said), want) {
			t.Errorf("%q: %v, %s", value, err, said)
		}
	}
}
