//go:build unix

package fd

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Inheritable is what a child can be given.
type Inheritable = *os.File

// Give makes an end of a new pipe, which is not used here, inheritable. The end is gone afterwards.
func Give(end End) (Inheritable, error) { return end, nil }

// GiveFile does so with a file.
func GiveFile(f *os.File) (Inheritable, error) { return f, nil }

// Duplicate returns a second descriptor of a stream's file. The error is ErrNoFile if the stream is neither an End nor a
// file.
func Duplicate(stream io.Closer) (Inheritable, error) {
	file, ok := stream.(*os.File)
	if !ok {
		return nil, ErrNoFile
	}
	var dup int
	var errDup error
	err := withFD(file, func(fd uintptr) {
		dup, errDup = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, errDup); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(dup), file.Name()), nil
}

// DuplicateFile does so with a file that moves as a file.
func DuplicateFile(f *os.File) (Inheritable, error) { return Duplicate(f) }

// DeadlinesTravel says whether a child that gets the stream's duplicate will have deadlines, as they are had here.
func DeadlinesTravel(io.Closer) bool { return true }

// Claim keeps an inherited descriptor from the processes that this one starts.
func Claim(fd uintptr) error {
	_, err := unix.FcntlInt(fd, unix.F_SETFD, unix.FD_CLOEXEC)
	return os.NewSyscallError("fcntl", err)
}

// OpenFile makes a file of an inherited descriptor. Without setting the mode here a file would have no deadlines, and
// Close would wake nobody: os/exec may hand it over blocking.
func OpenFile(fd uintptr, nonBlocking bool) *os.File {
	_ = syscall.SetNonblock(int(fd), nonBlocking) // fails only on what Claim has found not to be open
	return os.NewFile(fd, "inherited")
}

// OpenEnd makes an end of a channel of an inherited descriptor.
func OpenEnd(fd uintptr, nonBlocking bool) End { return OpenFile(fd, nonBlocking) }
