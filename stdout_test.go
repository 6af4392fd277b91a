package gipc

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// stdoutHelper is set in a child that is this program, run as what TestLostStdoutIsAnError describes.
const stdoutHelper = "GIPC_TEST_STDOUT"

func init() {
	if os.Getenv(stdoutHelper) == "" {
		return
	}
	for _, f := range []io.WriteCloser{keptOpen{os.Stdout}, keptOpen{os.Stderr}, os.Stdout, os.Stderr} {
		w := NewWriter(f, rawOptions)
		var err error
		for range 3 {
			err = w.Put(context.Background(), []byte("nobody reads this"))
		}
		if !errors.Is(err, ErrPeerClosed) {
			os.Exit(4)
		}
	}
	os.Exit(3)
}

// keptOpen is a file that a Writer doesn't close.
type keptOpen struct{ *os.File }

func (keptOpen) Close() error { return nil }

// TestLostStdoutIsAnError: a Writer on standard output or error or on what wraps one, whose reader is gone gets
// ErrPeerClosed; the program is not killed by SIGPIPE.
func TestLostStdoutIsAnError(t *testing.T) {
	test.Bounded(t)
	r, w, err := os.Pipe()
	test.Check(t, err)
	test.Check(t, r.Close())
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), stdoutHelper+"=1")
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Run()
	test.Check(t, w.Close())
	if cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("the program ended with %v, want exit status 3", err)
	}
}
