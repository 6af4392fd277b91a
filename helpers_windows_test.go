package gipc

import (
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
)

// openDescriptors can't be told exactly: the threads that Go starts have handles. TestNoHandleIsLeaked counts over many
// cycles.
func openDescriptors(testing.TB) int { return 0 }

// roughlyOpen counts handles, also those of Go's threads.
func roughlyOpen(t testing.TB) int { return handleCount(t) }

// pretendRoom makes w's pipe say that it has as much room as was last set, which Wine's never say.
func pretendRoom(w *Writer[[]byte]) (set func(bytes int64)) {
	var room atomic.Int64
	w.out.dst.(*pipeSink).measure = func() int { return int(room.Load()) }
	return room.Store
}

// dupFile returns a second handle of a file.
func dupFile(f *os.File) (*os.File, error) {
	h, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), f.Name()), nil
}

// stranger returns a command of a process that knows nothing of this package, and sleeps.
func stranger() *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), plainEnv+"=1")
	return cmd
}

// deafen makes a command start a stranger in place of its program.
func deafen(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, plainEnv+"=1") }

// otherProgram makes a command start a program that does nothing in place of its own.
func otherProgram(cmd *exec.Cmd) {
	cmd.Path, cmd.Args = os.Getenv("ComSpec"), []string{"cmd", "/c", "exit 0"}
}
