package test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// OpenDescriptors can't be told exactly: the threads that Go starts have handles. Tests of leaks count over many cycles.
func OpenDescriptors(testing.TB) int { return 0 }

// DupFile returns a second handle of a file.
func DupFile(f *os.File) (*os.File, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var h windows.Handle
	var errDup error
	self := windows.CurrentProcess()
	err = rc.Control(func(fd uintptr) {
		errDup = windows.DuplicateHandle(self, windows.Handle(fd), self, &h, 0, false, windows.DUPLICATE_SAME_ACCESS)
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), f.Name()), errDup
}

// plainEnv makes a test program sleep as a process that knows nothing of gipc.
const plainEnv = "GIPC_TEST_PLAIN"

func init() {
	if os.Getenv(plainEnv) != "" {
		time.Sleep(10 * time.Minute)
		os.Exit(0)
	}
}

// Stranger returns a command of a process that knows nothing of gipc, and sleeps.
func Stranger() *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), plainEnv+"=1")
	return cmd
}

// AsStranger makes a command start a Stranger in place of its program.
func AsStranger(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, plainEnv+"=1") }

// SkipUnderQEMU skips nothing.
func SkipUnderQEMU(testing.TB, string) {}

// UnderQEMU is false.
func UnderQEMU() bool { return false }
