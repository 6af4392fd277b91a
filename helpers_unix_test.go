//go:build unix

package gipc

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// roughlyOpen counts what openDescriptors counts, which isn't exact everywhere.
func roughlyOpen(t testing.TB) int { return openDescriptors(t) }

// pretendRoom changes nothing: how much room a pipe has matters on Windows only.
func pretendRoom(*Writer[[]byte]) (set func(bytes int64)) { return func(int64) {} }

// dupFile returns a second descriptor of a file.
func dupFile(f *os.File) (*os.File, error) {
	var fd int
	var errDup error
	if err := withFD(f, func(old uintptr) { fd, errDup = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if errDup != nil {
		return nil, errDup
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// stranger returns a command of a process that knows nothing of this package, and sleeps.
func stranger() *exec.Cmd { return exec.Command("sleep", "1000") }

// deafen makes a command start a stranger in place of its program.
func deafen(cmd *exec.Cmd) { cmd.Path, cmd.Args = "/bin/sleep", []string{"sleep", "1000"} }

// otherProgram makes a command start a program that does nothing in place of its own.
func otherProgram(cmd *exec.Cmd) { cmd.Path = "/bin/true" }
