package gipc

import (
	"os"
	"os/exec"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// roughlyOpen counts handles, also those of Go's threads.
func roughlyOpen(t testing.TB) int { return test.HandleCount(t) }

// deafen makes a command start a stranger in place of its program.
func deafen(cmd *exec.Cmd) { test.AsStranger(cmd) }

// otherProgram makes a command start a program that does nothing in place of its own.
func otherProgram(cmd *exec.Cmd) {
	cmd.Path, cmd.Args = os.Getenv("ComSpec"), []string{"cmd", "/c", "exit 0"}
}
