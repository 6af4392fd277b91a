//go:build unix

package fd

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

const onWindows = false

// number returns the number that a child would have for what it inherits, and takes it from f.
func number(f Inheritable) uintptr {
	defer f.Close()
	n, err := unix.FcntlInt(uintptr(Number(f)), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	return uintptr(n)
}

func opened(f Inheritable, deadlines bool) End { return OpenEnd(number(f), deadlines) }

func flags(t *testing.T, f *os.File, get int) int {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(Number(f)), get, 0)
	test.Check(t, err)
	return flags
}

func TestEverythingIsCloseOnExec(t *testing.T) {
	for name, s := range streams(t) {
		file := s.(*os.File)
		dup, err := Duplicate(file)
		test.Check(t, err)
		closeAtEnd(t, dup)
		for _, f := range []*os.File{file, dup} {
			if flags(t, f, unix.F_GETFD)&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s can be inherited by accident", name)
			}
		}
		if flags(t, dup, unix.F_GETFL) != flags(t, file, unix.F_GETFL) {
			t.Errorf("%s has another mode", name)
		}
	}
}

func TestClaimMakesCloseOnExec(t *testing.T) {
	r, w := newPipe(t)
	n := uintptr(Number(w))
	_, err := unix.FcntlInt(n, unix.F_SETFD, 0) // as what is inherited is
	test.Check(t, err)
	test.Check(t, Claim(n))
	test.Equal(t, flags(t, w, unix.F_GETFD), unix.FD_CLOEXEC)
	carries(t, r, w)

	var limit unix.Rlimit
	test.Check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	test.Is(t, Claim(uintptr(limit.Cur)), unix.EBADF)
}

// A descriptor comes in the mode that os/exec, or another process, has left it in.
func TestOpenFileSetsTheMode(t *testing.T) {
	for _, nonBlocking := range []bool{true, false} {
		r, w := newPipe(t)
		test.Check(t, unix.SetNonblock(Number(r), !nonBlocking))
		f := OpenFile(number(r), nonBlocking)
		closeAtEnd(t, f)
		test.Equal(t, flags(t, f, unix.F_GETFL)&unix.O_NONBLOCK != 0, nonBlocking)
		carries(t, f, w)
	}
}
