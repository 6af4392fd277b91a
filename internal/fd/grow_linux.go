package fd

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxGrowth, in bytes, is what the pipes of this process may grow by in all. The kernel counts the pages of a user's pipes, and
// gives tiny ones to all programs of a user who has more than 64 MiB.
const maxGrowth = 16 << 20

var grown atomic.Int64 // bytes

// GrowPipe gives a pipe with a capacity of from bytes one of to bytes, if the process and the user have that left. It returns by
// how many bytes the pipe grew: give them back by ReleaseGrowth when it is closed. A stream that is no pipe, or has another
// capacity, which somebody chose, stays as it is.
func GrowPipe(stream any, from, to int) (bytes int) {
	file, ok := stream.(*os.File)
	if !ok {
		return 0
	}
	bytes = to - from
	if grown.Add(int64(bytes)) > maxGrowth {
		ReleaseGrowth(bytes)
		return 0
	}
	done := false
	_ = withFD(file, func(fd uintptr) { done = growPipe(fd, from, to) }) // fails only on a closed file
	if !done {
		ReleaseGrowth(bytes)
		return 0
	}
	return bytes
}

func growPipe(fd uintptr, from, to int) bool {
	size, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0)
	if err != nil || size != from {
		return false
	}
	_, err = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, to)
	return err == nil
}

// ShrinkPipe takes back room that a pipe has beyond a capacity of to bytes, unless more is in it.
func ShrinkPipe(stream any, to int) {
	file, ok := stream.(*os.File)
	if !ok {
		return
	}
	_ = withFD(file, func(fd uintptr) { // fails only on a closed file
		if size, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil && size > to {
			_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, to)
		}
	})
}

// ReleaseGrowth gives back what GrowPipe took.
func ReleaseGrowth(bytes int) { grown.Add(int64(-bytes)) }
