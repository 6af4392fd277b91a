package ring

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/fd"
)

// seals keep the memory's size as it is: whoever could shrink it could kill the other side by SIGBUS.
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// newFile returns a file in memory, twice. All of it is allocated: that a page is missing should show now, not when it is used.
func newFile(size int) (one, other *os.File, err error) {
	if err := allowed(size); err != nil {
		return nil, nil, err
	}
	file, err := createFile()
	if err != nil {
		return nil, nil, err
	}
	if err = prepare(file, size); err == nil {
		other, err = fd.Duplicate(file)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, other, nil
}

// allowed says whether a file may be so large: the system answers with a signal that ends a Go program.
func allowed(size int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if uint64(size) > limit.Cur {
		return unix.EFBIG
	}
	return nil
}

func createFile() (*os.File, error) {
	const name, flags = "gipc", unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	n, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // Linux before 6.3
		n, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(n), name), nil
}

func prepare(file *os.File, size int) error {
	n := fd.Number(file)
	if err := unix.Ftruncate(n, int64(size)); err != nil {
		return os.NewSyscallError("ftruncate", err)
	}
	const piece = 1 << 20 // older kernels undo a call that a signal interrupts, and a profiler sends many signals
	for at := 0; at < size; at += piece {
		if err := untilDone(func() error { return unix.Fallocate(n, 0, int64(at), int64(min(piece, size-at))) }); err != nil {
			return os.NewSyscallError("fallocate", err)
		}
	}
	_, err := unix.FcntlInt(uintptr(n), unix.F_ADD_SEALS, seals)
	return os.NewSyscallError("fcntl", err)
}

// untilDone repeats a system call that signals interrupt.
func untilDone(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

var errNotSealed = errors.New("shared memory that can be shrunk: whoever made it does not speak gipc's protocol")

// mapShared maps all of a file that newFile made, here or in another process.
func mapShared(file *os.File) ([]byte, error) {
	n := fd.Number(file)
	have, err := unix.FcntlInt(uintptr(n), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if have&seals != seals {
		return nil, errNotSealed
	}
	var stat unix.Stat_t
	if err := unix.Fstat(n, &stat); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if size := stat.Size - int64(headerSize()); size <= 0 || size > maxCapacity || size&(size-1) != 0 {
		return nil, fmt.Errorf("shared memory of %d bytes is no ring", stat.Size)
	}
	bytes, err := unix.Mmap(n, 0, int(stat.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return bytes, os.NewSyscallError("mmap", err)
}

func unmap(bytes []byte) { _ = unix.Munmap(bytes) } // fails for no memory that mapShared returned

// ringer puts bytes into a pipe, to wake whoever reads it. One goroutine at a time calls ring.
type ringer struct {
	rc      syscall.RawConn
	attempt func(n uintptr) bool // made once, so that a call allocates nothing
	err     error                // of the last one
}

func newRinger(end fd.End) (*ringer, error) {
	rc, err := end.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &ringer{rc: rc}
	r.attempt = func(n uintptr) bool {
		r.err = untilDone(func() error {
			_, err := syscall.Write(int(n), []byte{0})
			return err
		})
		return true
	}
	return r, nil
}

// ring never waits. A pipe that is full has bytes enough to wake its reader.
func (r *ringer) ring() error {
	if err := r.rc.Write(r.attempt); err != nil {
		return err
	}
	if r.err == syscall.EAGAIN {
		return nil
	}
	return os.NewSyscallError("write", r.err)
}
