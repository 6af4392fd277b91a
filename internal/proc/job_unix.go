//go:build unix

package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/limits"
)

// job holds a child and its descendants together; here the kernel's process group does that, and a cgroup where the child's
// limits have one.
type job struct{ cgroup *limits.Cgroup }

// newJob makes a command's child lead a process group of its own.
func newJob(cmd *exec.Cmd, l *limits.Limits) (job, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cgroup, err := l.NewCgroup(cmd)
	return job{cgroup}, err
}

// start starts a command. What leads a session leads a group too, and may not be made to.
func (j job) start(cmd *exec.Cmd) error {
	attr := cmd.SysProcAttr
	if attr.Setsid {
		attr.Setpgid = false
	}
	err := j.cgroup.Start(cmd)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if info, errRoot := os.Stat(attr.Chroot); errRoot == nil && info.IsDir() {
		return fmt.Errorf("%w: the program is looked up inside SysProcAttr.Chroot (%s), mount /proc there (Linux) or set Cmd.Path to a copy of this program in it", err, attr.Chroot)
	}
	return err
}

// release is called when the child has ended.
func (job) release() {}

// end kills what is left in the child's cgroup, which can't be removed otherwise, and removes it.
func (j job) end() (limits.Events, error) { return j.cgroup.End(2 * DrainDelay) }

// endsAll says whether end kills what the child has started.
func (j job) endsAll() bool { return j.cgroup != nil }

// kill kills the group that was made for a child that is not reaped yet, and the child, which may have left the group.
func (j job) kill(cmd *exec.Cmd) error {
	_ = j.killGroup(cmd) // nobody may be left in it
	return cmd.Process.Kill()
}

// killGroup kills the group that was made for a child.
func (job) killGroup(cmd *exec.Cmd) error {
	if a := cmd.SysProcAttr; a != nil && (a.Setpgid && a.Pgid == 0 || a.Setsid) {
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return nil
}

// reapKilled reaps the members of a killed group, after its leader. Where this process is the first of a container, or a
// subreaper, they become its children; elsewhere there are none. As long as there is one, the group's number isn't reused.
func (job) reapKilled(group int) {
	if !adoptsOrphans() {
		return
	}
	for deadline := time.Now().Add(DrainDelay); time.Now().Before(deadline); {
		switch pid, err := unix.Wait4(-group, nil, unix.WNOHANG, nil); {
		case err != nil && err != unix.EINTR: // there are none
			return
		case err == nil && pid == 0: // it is about to end
			time.Sleep(time.Millisecond)
		}
	}
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

// Codes of a child that was ended from here, as exitStatus returns them.
const (
	codeTerminated = -int(syscall.SIGTERM)
	codeKilled     = -int(syscall.SIGKILL)
)

// exitStatus returns a code of -N for death by signal N.
func exitStatus(state *os.ProcessState) (code int, sig os.Signal) {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -int(status.Signal()), status.Signal()
	}
	return state.ExitCode(), nil
}
