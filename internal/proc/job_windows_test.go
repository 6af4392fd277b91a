package proc

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// startOutsideJob starts a command in a job that can't take it in.
func startOutsideJob(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	var p pipes
	defer p.abandon()
	test.Check(t, p.open(false))
	j, err := newJob(cmd, nil)
	test.Check(t, err)
	j.attach(cmd, p.child)
	defer func(h windows.Handle) {
		j.handle = h
		j.release()
	}(j.handle)
	j.handle = windows.CurrentProcess() // no job
	return j.start(cmd)
}

// TestChildThatIsEndingIsStarted holds for a child that the system doesn't let into its job because it is about to end:
// how it ended is then for its Child to tell.
func TestChildThatIsEndingIsStarted(t *testing.T) {
	test.Check(t, startOutsideJob(t, exec.Command(os.Getenv("ComSpec"), "/c", "exit 3")))
	if err := startOutsideJob(t, test.Stranger()); err == nil {
		t.Error("a child that lives outside its job")
	}
}

func TestTerminateOfAnEndingChild(t *testing.T) {
	cmd := test.Stranger()
	test.Check(t, cmd.Start())
	defer cmd.Wait()
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(cmd.Process.Pid)) // so that access is denied
	test.Check(t, err)
	defer windows.CloseHandle(h)
	p := &Child{job: job{process: h}}
	time.AfterFunc(100*time.Millisecond, func() { _ = cmd.Process.Kill() })
	if err := p.Terminate(); !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// TestEnvironmentDoesNotGrowWithTheEnds: a variable has its limits, the control channel has none.
func TestEnvironmentDoesNotGrowWithTheEnds(t *testing.T) {
	cmd := &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{AdditionalInheritedHandles: []syscall.Handle{1}}} // the job
	numbers, intact := new(job).attach(cmd, make([]fd.Inheritable, 10_000))
	if len(numbers) != 10_000 || !intact() || len(cmd.Env) != 1 || len(cmd.Env[0]) > 100 {
		t.Errorf("%d numbers, intact %v, environment %.200q", len(numbers), intact(), cmd.Env)
	}
}
