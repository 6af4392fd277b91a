package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/limits"
)

// kill ends a child that is not reaped yet, and its descendants.
func (j *job) kill(*exec.Cmd) error {
	return os.NewSyscallError("TerminateJobObject", windows.TerminateJobObject(j.handle, codeKilled))
}

// killGroup ends what is left in the job of a child that has ended.
func (j *job) killGroup(cmd *exec.Cmd) error { return j.kill(cmd) }

// end has nothing to do, and knows nothing: a job tells of its limits over a completion port only.
func (job) end() (e limits.Events, err error) { return e, nil }

func (job) endsAll() bool { return false }

// reapKilled has nothing to do.
func (job) reapKilled(int) {}

// release is called when the child has ended. What it has started and left behind lives on, as on other systems.
func (j *job) release() {
	if j.handle == 0 {
		return
	}
	_ = j.endsWhenReleased(false) // fails only without the right to, which its maker has
	_ = windows.CloseHandle(j.handle)
	if j.process != 0 {
		_ = windows.CloseHandle(j.process)
	}
	*j = job{}
}

func (j *job) terminate(*exec.Cmd) error { return j.endChild(codeTerminated) }

func (j *job) signal(_ *exec.Cmd, sig os.Signal) error {
	if sig != os.Kill {
		return fmt.Errorf("signal %v: Windows has only os.Kill: %w", sig, errors.ErrUnsupported)
	}
	return j.endChild(codeKilled)
}

// endChild ends the child alone.
func (j *job) endChild(code uint32) error {
	if j.endsWithin(0) {
		return os.ErrProcessDone
	}
	err := windows.TerminateProcess(j.process, code)
	if err == windows.ERROR_ACCESS_DENIED && j.endsWithin(endingDelay) {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("TerminateProcess", err)
}

// ExitWithGroup ends this process and its descendants.
func ExitWithGroup(code int) {
	_ = windows.TerminateJobObject(ownJob, uint32(code))
	os.Exit(code)
}

// exitStatus returns the exit code; there are no signals.
func exitStatus(state *os.ProcessState) (code int, sig os.Signal) { return state.ExitCode(), nil }

// executable is what a child runs. The file of a running program can't be replaced, but moved away.
func executable() (path string, running bool, err error) {
	path, err = os.Executable()
	return path, false, err
}

// awaitExit waits until a child has ended, and leaves it to be reaped: until then its pid is not used again.
func awaitExit(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	event, err := windows.WaitForSingleObject(h, windows.INFINITE)
	return err == nil && event == windows.WAIT_OBJECT_0
}
