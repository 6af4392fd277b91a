package gipc

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// startOutsideJob starts a command in a job that can't take it in.
func startOutsideJob(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	var pipes childPipes
	defer pipes.abandon()
	noError(t, pipes.open())
	j, err := newJob(cmd)
	noError(t, err)
	attach(cmd, pipes.child)
	defer func(h windows.Handle) {
		j.handle = h
		j.release()
	}(j.handle)
	j.handle = windows.CurrentProcess() // no job
	return j.start(cmd)
}

// TestChildThatIsEndingIsStarted holds for a child that the system doesn't let into its job because it is about to end:
// how it ended is then for its Process to tell.
func TestChildThatIsEndingIsStarted(t *testing.T) {
	noError(t, startOutsideJob(t, exec.Command(os.Getenv("ComSpec"), "/c", "exit 3")))
	if err := startOutsideJob(t, stranger()); err == nil {
		t.Error("a child that lives outside its job")
	}
}

func TestTerminateOfAnEndingChild(t *testing.T) {
	cmd := stranger()
	noError(t, cmd.Start())
	defer cmd.Wait()
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(cmd.Process.Pid)) // so that access is denied
	noError(t, err)
	defer windows.CloseHandle(h)
	p := &Process{job: job{process: h}}
	time.AfterFunc(100*time.Millisecond, func() { _ = cmd.Process.Kill() })
	if err := p.Terminate(); !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}
