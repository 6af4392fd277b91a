package gipc

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxRead is the most bytes that one read asks for.
const maxRead = 1 << 30

// setPipeSize asks for a pipe's capacity. It is a hint: a refusal, as above /proc/sys/fs/pipe-max-size, changes nothing.
func setPipeSize(fd uintptr, size int) {
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, unix.F_SETPIPE_SZ, uintptr(size))
}
