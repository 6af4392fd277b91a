//go:build unix

package pool

import (
	"os"
	"syscall"
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
