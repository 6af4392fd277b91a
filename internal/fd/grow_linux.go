package fd

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	defaultPipe = 64 << 10 // bytes: what the kernel gives a pipe
	grownPipe   = 1 << 20  // bytes: what it lets any user ask for

	// maxGrowth, in bytes, is what the pipes of this process may grow by in all. The kernel counts the pages of a user's pipes,
	// 64 MiB by default, and gives tiny ones to all programs of a user who has more.
	maxGrowth = 16 << 20
)

var grown atomic.Int64 // bytes

// GrowPipe gives a pipe of the default capacity a larger one, if the process and the user have any left. It returns by how many
// bytes it grew: give them back by ReleaseGrowth when the pipe is closed. A stream that is no pipe, or whose capacity somebody
// chose, stays as it is.
func GrowPipe(stream any) (bytes int) {
	file, ok := stream.(*os.File)
	if !ok {
		return 0
	}
	const by = grownPipe - defaultPipe
	if grown.Add(by) > maxGrowth {
		ReleaseGrowth(by)
		return 0
	}
	done := false
	_ = withFD(file, func(fd uintptr) { done = growPipe(int(fd)) }) // fails only on a closed file
	if !done {
		ReleaseGrowth(by)
		return 0
	}
	return by
}

func growPipe(fd int) bool {
	size, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil || size != defaultPipe {
		return false
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, grownPipe)
	return err == nil
}

// ReleaseGrowth gives back what GrowPipe took.
func ReleaseGrowth(bytes int) { grown.Add(int64(-bytes)) }
