package fd

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// setPipeSize asks for a pipe's capacity. It is a hint: a refusal, as above /proc/sys/fs/pipe-max-size, changes nothing.
func setPipeSize(fd uintptr, size int) {
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, unix.F_SETPIPE_SZ, uintptr(min(size, math.MaxInt32))) // the kernel takes 32 bits
}
