package proc

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

func TestStatusIsTheExitCode(t *testing.T) {
	for _, code := range []int{0, 1, 3, 255} {
		c := begin(t, fmt.Sprint("exit ", code), Command{})
		c.endsWith(t, code)
		test.Equal(t, len(c.CrashReport()), 0)
		_, sig, _ := c.Status()
		test.Equal(t, sig, nil)
	}
}

func TestCrashIsReported(t *testing.T) {
	for deed, want := range map[string]struct{ value, stack string }{
		"panic boom":     {"boom", "proc.beChild"},
		"panic a\nb: c":  {"a\nb: c", "proc.beChild"},
		"fatal":          {"sync: unlock of unlocked mutex", "proc.beChild"},
		"overflow":       {"stack overflow", "proc.overflow"},
		"panic panic: x": {"panic: x", "proc.beChild"},
	} {
		t.Run(deed, func(t *testing.T) {
			var stderr bytes.Buffer
			c := begin(t, deed, Command{Stderr: &stderr})
			c.endsWith(t, 2)
			value, stack := c.ExplainCrash()
			if value != want.value || !strings.Contains(string(stack), want.stack) {
				t.Errorf("%q in\n%s", value, stack)
			}
		})
	}
}

// A parent that stood still for longer than DrainDelay finds its time over and the report there.
func TestCrashReportThatHasComeInTimeIsRead(t *testing.T) {
	test.Bounded(t)
	for range 10 {
		child, err := Start(doing("panic boom", new(Command)))
		test.Check(t, err)
		if !awaitExit(child.PID()) {
			t.Skip("nobody can wait for a child without reaping it")
		}
		test.Check(t, child.crash.SetReadDeadline(time.Now())) // as is done when its time is over
		c := (&life{Child: child}).serve()
		test.Check(t, c.end())
		value, _ := ExplainCrash(c.CrashReport(), nil)
		test.Equal(t, value, "boom")
	}
}

func TestOrdersAndReports(t *testing.T) {
	c := begin(t, "echo", Command{})
	for i := range 3 {
		c.order(t, strconv.Itoa(i))
		test.Equal(t, c.said(t), strconv.Itoa(i))
	}
	test.Check(t, c.Orders.Close()) // as when this process ends
	c.endsWith(t, exitOrphan)
}

// A child's calls on its control channel can be given up, and hold no thread.
func TestOrdersAndReportsHaveDeadlinesInTheChild(t *testing.T) {
	begin(t, "deadlines", Command{}).endsWith(t, 0)
}

func TestPIDIsTheChilds(t *testing.T) {
	c := begin(t, "pid", Command{})
	test.Equal(t, c.said(t), strconv.Itoa(c.PID()))
	c.endsWith(t, 0)
}

// ends are the ways to end a child from here, and what Status returns then on Unix.
var ends = map[string]struct {
	end func(c *Child) error
	sig syscall.Signal
}{
	"Kill":      {(*Child).Kill, syscall.SIGKILL},
	"Terminate": {(*Child).Terminate, syscall.SIGTERM},
	"Signal":    {func(c *Child) error { return c.Signal(os.Kill) }, syscall.SIGKILL},
}

func TestChildIsEndedFromHere(t *testing.T) {
	for name, e := range ends {
		t.Run(name, func(t *testing.T) {
			c := begin(t, "wait", Command{})
			test.Equal(t, c.said(t), "up")
			test.Check(t, e.end(c.Child))
			test.Check(t, c.end())
			code, sig, known := c.Status()
			wantCode, wantSig := 128+int(e.sig), os.Signal(nil)
			if !onWindows {
				wantCode, wantSig = -int(e.sig), e.sig
			}
			if code != wantCode || sig != wantSig || !known {
				t.Errorf("code %d, signal %v, known %v", code, sig, known)
			}
		})
	}
}

// After its end a child's number may be another process's.
func TestChildThatHasEndedIsLeftAlone(t *testing.T) {
	c := begin(t, "nothing", Command{})
	<-c.Exited()
	for name, e := range ends {
		if err := e.end(c.Child); err != os.ErrProcessDone {
			t.Errorf("%s: %v", name, err)
		}
	}
	test.Equal(t, c.Unreaped(func() { t.Error("it is called") }), false)
	c.endsWith(t, 0)
}

func TestChildIsNotReapedDuringUnreaped(t *testing.T) {
	c := begin(t, "obey", Command{})
	test.Equal(t, c.said(t), "up")
	var gone error
	test.Equal(t, c.Unreaped(func() {
		c.order(t, "end")
		_, gone = c.lines.ReadString('\n') // nobody holds the pipe any more: the child is about to be a zombie
		select {
		case <-c.Exited():
			t.Error("it is reaped")
		default:
		}
	}), true)
	test.Equal(t, gone, io.EOF)
	c.endsWith(t, 0)
}

func TestServedEndsAfterTheChild(t *testing.T) {
	t.Parallel() // most of it is waiting
	c := begin(t, "obey", Command{})
	test.Equal(t, c.said(t), "up")
	test.Check(t, c.Served().Err())
	c.Unreaped(func() { // else all that serves it would have ended before
		c.group.Go(func() error {
			<-c.Served().Done()
			return nil
		})
	})
	told := time.Now()
	c.order(t, "end")
	<-c.Exited()
	<-c.Served().Done()
	if took := time.Since(told); took < DrainDelay {
		t.Errorf("only %v after the child was told to end", took)
	}
	c.endsWith(t, 0)
}

// family starts a child that starts another process, which ends with the test and holds the pipe that is returned.
func family(t *testing.T, how string) (c *life, grandchild *os.Process, held fd.End) {
	t.Helper()
	held, w, err := fd.NewOutputPipe()
	test.Check(t, err)
	t.Cleanup(func() { _ = held.Close() })
	c = begin(t, "parent "+how, Command{Stdout: w})
	test.Check(t, w.Close())
	return c, processOf(t, c.said(t)), held
}

func processOf(t *testing.T, pid string) *os.Process {
	t.Helper()
	n, err := strconv.Atoi(pid)
	test.Check(t, err)
	p, err := os.FindProcess(n)
	test.Check(t, err)
	t.Cleanup(func() {
		_ = p.Kill() // it may have ended
		_ = p.Release()
	})
	return p
}

// isHeld fails the test unless somebody holds the other end of a pipe.
func isHeld(t *testing.T, end fd.End) {
	t.Helper()
	test.Check(t, end.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := end.Read(make([]byte, 1))
	test.Is(t, err, os.ErrDeadlineExceeded)
	test.Check(t, end.SetReadDeadline(time.Time{}))
}

// allGone waits until nobody does.
func allGone(t *testing.T, end fd.End) {
	t.Helper()
	_, err := io.Copy(io.Discard, end)
	test.Check(t, err)
}

func TestKillTakesTheGroup(t *testing.T) {
	c, _, held := family(t, "waits")
	test.Check(t, c.Kill())
	test.Check(t, c.end())
	allGone(t, held)
}

func TestTerminateGroupTakesTheGroupToo(t *testing.T) {
	c, _, held := family(t, "waits")
	test.Check(t, c.TerminateGroup())
	test.Check(t, c.end())
	allGone(t, held)
	test.Equal(t, c.TerminateGroup(), os.ErrProcessDone)
}

func TestTerminateAndSignalLeaveTheGroup(t *testing.T) {
	for _, name := range []string{"Terminate", "Signal"} {
		c, grandchild, held := family(t, "waits")
		test.Check(t, ends[name].end(c.Child))
		test.Check(t, c.end())
		isHeld(t, held)
		test.Check(t, grandchild.Kill())
		allGone(t, held)
	}
}

func TestExitWithGroupTakesTheGroup(t *testing.T) {
	c, _, held := family(t, "exits with its group")
	c.order(t, "exit")
	test.Check(t, c.end())
	if code, _, _ := c.Status(); code != 7 && code != -int(syscall.SIGKILL) { // a group is killed, with its leader
		t.Errorf("code %d", code)
	}
	allGone(t, held)
}

// What a child starts and leaves behind lives on, and holds no pipe between parent and child.
func TestGrandchildHoldsNoPipe(t *testing.T) {
	c, grandchild, held := family(t, "exits")
	c.order(t, "exit")
	_, err := c.lines.ReadString('\n')
	test.Equal(t, err, io.EOF)
	if _, err := c.Orders.Write(test.Pattern(1 << 20)); err == nil {
		t.Error("somebody holds the orders")
	}
	c.endsWith(t, 0)
	isHeld(t, held)
	test.Check(t, grandchild.Kill())
	allGone(t, held)
}

// Output of a grandchild's is awaited no longer than DrainDelay.
func TestGrandchildsOutputIsCutOff(t *testing.T) {
	t.Parallel() // most of it is waiting
	var out bytes.Buffer
	c := begin(t, "parent exits", Command{Stdout: &out})
	processOf(t, c.said(t))
	c.order(t, "exit")
	c.endsWith(t, 0)
}

func TestOwnProgramStartedByAChildInheritsNothing(t *testing.T) {
	c := begin(t, "start-itself", Command{})
	test.Equal(t, c.said(t), "no child")
	c.endsWith(t, 0)
}
