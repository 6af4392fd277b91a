//go:build unix

package test

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// descriptors lists this process's open descriptors, in order.
func descriptors(t testing.TB) (fds []int) {
	t.Helper()
	dir, err := os.Open("/dev/fd")
	Check(t, err)
	defer dir.Close()
	names, err := dir.Readdirnames(0)
	Check(t, err)
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && uintptr(fd) != dir.Fd() {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return fds
}

// OpenDescriptors counts them.
func OpenDescriptors(t testing.TB) int {
	t.Helper()
	return len(descriptors(t))
}

// FreeDescriptors returns the limit that leaves n of them free.
func FreeDescriptors(t testing.TB, n int) int {
	t.Helper()
	open := descriptors(t)
	for limit := 0; ; limit++ {
		if slices.Contains(open, limit) {
			continue
		}
		if n == 0 {
			return limit
		}
		n--
	}
}

// DupFile returns a second descriptor of a file.
func DupFile(f *os.File) (*os.File, error) {
	var fd int
	var errDup error
	if err := control(f, func(old uintptr) { fd, errDup = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if errDup != nil {
		return nil, errDup
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func control(f *os.File, use func(fd uintptr)) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Control(use)
}

// Stranger returns a command of a process that knows nothing of gipc, and sleeps.
func Stranger() *exec.Cmd { return exec.Command("sleep", "1000") }

// SkipUnderQEMU skips a test that qemu-user breaks.
func SkipUnderQEMU(t testing.TB, reason string) {
	t.Helper()
	if UnderQEMU() {
		t.Skip("under qemu: " + reason)
	}
}

// UnderQEMU says whether qemu-user emulates this process: then /proc/self/exe is qemu for stat, and the program for open.
func UnderQEMU() bool {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return false // not Linux
	}
	defer f.Close()
	opened, errOpened := f.Stat()
	found, errFound := os.Stat("/proc/self/exe")
	return errOpened == nil && errFound == nil && !os.SameFile(opened, found)
}
