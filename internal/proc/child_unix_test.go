//go:build unix

package proc

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/claim"
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

// A process that holds a child's crash pipe delays its parent by no more than DrainDelay, and loses no report.
func TestHeldCrashPipeHoldsNobody(t *testing.T) {
	for deed, want := range map[string]struct {
		code  int
		value string
	}{"nothing": {0, unnamedCrash}, "panic boom": {2, "boom"}} {
		t.Run(deed, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			var crash *os.File
			c := begin(t, deed, Command{Change: func(cmd *exec.Cmd) {
				var err error
				crash, err = test.DupFile(cmd.ExtraFiles[crashFD])
				test.Check(t, err)
			}})
			defer crash.Close()
			<-c.Exited()
			select {
			case <-c.over:
			case <-time.After(10 * DrainDelay):
				t.Error("its parent waits for who holds the pipe")
				_ = crash.Close()
			}
			c.endsWith(t, want.code)
			value, _ := ExplainCrash(c.CrashReport(), nil)
			test.Equal(t, value, want.value)
		})
	}
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
		cmd.Env = append(os.Environ(), claim.Mark+"="+value, deedEnv+"=nothing")
		cmd.ExtraFiles = []*os.File{os.Stderr, os.Stderr, os.Stderr}
		said, err := cmd.Output()
		if cmd.ProcessState.ExitCode() != exitRefuse || !strings.Contains(string(said), want) {
			t.Errorf("%q: %v, %s", value, err, said)
		}
	}
}
