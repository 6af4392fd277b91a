//go:build unix

package proc

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// job holds a child and its descendants together; here the kernel's process group does that.
type job struct{}

// newJob makes a command's child lead a process group of its own.
func newJob(cmd *exec.Cmd) (job, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return job{}, nil
}

func (job) start(cmd *exec.Cmd) error { return cmd.Start() }

// release is called when the child has ended.
func (job) release() {}

// kill kills the group that was made for a child that is not reaped yet, and the child, which may have left the group.
func (job) kill(cmd *exec.Cmd) error {
	if a := cmd.SysProcAttr; a != nil && (a.Setpgid && a.Pgid == 0 || a.Setsid) {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // nobody may be left in it
	}
	return cmd.Process.Kill()
}

func (job) terminate(cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) }

func (job) signal(cmd *exec.Cmd, sig os.Signal) error { return cmd.Process.Signal(sig) }

// ExitWithGroup ends this process and the group that it leads.
func ExitWithGroup(code int) {
	if pid := syscall.Getpid(); leadsGroup(pid) {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	os.Exit(code)
}

func leadsGroup(pid int) bool {
	group, err := unix.Getpgid(pid)
	return err == nil && group == pid
}

// exitStatus returns a code of -N for death by signal N.
func exitStatus(state *os.ProcessState) (code int, sig os.Signal) {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -int(status.Signal()), status.Signal()
	}
	return state.ExitCode(), nil
}
