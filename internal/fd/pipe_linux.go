package fd

import (
	"math"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setPipeSize asks for a pipe's capacity. It is a hint: a refusal, as above /proc/sys/fs/pipe-max-size, changes nothing.
func setPipeSize(fd uintptr, size int) {
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, unix.F_SETPIPE_SZ, uintptr(min(size, math.MaxInt32))) // the kernel takes 32 bits
}

// newGivenPipe makes a pipe, close-on-exec, of which this process uses one end and a child gets the other. That one stays out of
// Go's poller, which saves half of the system calls.
func newGivenPipe(childReads bool) (r, w *os.File, err error) {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	mine := 0
	if childReads {
		mine = 1
	}
	_ = syscall.SetNonblock(p[mine], true) // fails only on what is not open
	ends := [2]*os.File{os.NewFile(uintptr(p[0]), "|0"), os.NewFile(uintptr(p[1]), "|1")}
	if err := ends[mine].SetDeadline(time.Time{}); err != nil { // the poller has not taken it
		_, _ = ends[0].Close(), ends[1].Close()
		return nil, nil, err
	}
	return ends[0], ends[1], nil
}
