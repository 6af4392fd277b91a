//go:build unix

package gipc

import (
	"os"
	"slices"
	"strconv"
	"testing"
)

// descriptors lists this process's open descriptors, in order.
func descriptors(t testing.TB) (fds []int) {
	t.Helper()
	dir, err := os.Open("/dev/fd")
	need(t, err)
	defer dir.Close()
	names, err := dir.Readdirnames(0)
	need(t, err)
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && uintptr(fd) != dir.Fd() {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return fds
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	return len(descriptors(t))
}

// freeDescriptors returns the limit that leaves n of them free.
func freeDescriptors(t testing.TB, n int) int {
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
