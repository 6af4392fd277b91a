//go:build unix

package pool

import (
	"os"
	"syscall"

	"github.com/go-gipc/gipc/internal/test"
)

func killSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func stopSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	select {}
}

func terminateSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
}

func stop(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }

func cont(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }

func killPID(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func closeDescriptors() {
	for fd := 3; fd <= 20; fd++ {
		_ = syscall.Close(fd)
	}
}

// leaveGrandchild starts a process that holds this one's stdout and stderr, and that no kill of its group takes.
func leaveGrandchild() (pid int) {
	cmd := test.Stranger()
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	return cmd.Process.Pid
}
