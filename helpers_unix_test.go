//go:build unix

package gipc

import (
	"os/exec"
	"testing"

	"github.com/go-gipc/gipc/internal/ring"
	"github.com/go-gipc/gipc/internal/test"
)

// roughlyOpen counts what openDescriptors counts, which isn't exact everywhere.
func roughlyOpen(t testing.TB) int { return test.OpenDescriptors(t) }

// deafen makes a command start a stranger in place of its program.
func deafen(cmd *exec.Cmd) { cmd.Path, cmd.Args = "/bin/sleep", []string{"sleep", "1000"} }

// otherProgram makes a command start a program that does nothing in place of its own.
func otherProgram(cmd *exec.Cmd) { cmd.Path = "/bin/true" }

// descriptorsOfAnEnd is how many an end of a channel has.
func descriptorsOfAnEnd() int {
	if *sharedSize > 0 {
		return ring.Descriptors
	}
	return 1
}
