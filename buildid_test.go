package gipc

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/test"
)

// TestChildOfAnotherBuildRefuses runs copies of the test's program: one that is the same build in another file, and one
// whose build ID is changed.
func TestChildOfAnotherBuildRefuses(t *testing.T) {
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		t.Skip("the system runs no program that was changed after it was signed")
	}
	test.SkipUnderQEMU(t, "/proc/self/exe is the same file for all programs")
	ctx := test.Context(t)
	id := proc.BuildID()
	if id == "" || strings.Contains(id, "\n") { // what the module system knows instead
		t.Fatal("the test's program has no build ID")
	}
	changed := strings.ToUpper(id)
	in := func(program string) *SpawnOptions {
		return &SpawnOptions{Command: func(cmd *exec.Cmd) { cmd.Path = program }}
	}
	r, w := stringPipe(t)
	_, err := Spawn(ctx, entryDeed, deedArgs{Do: "say", Text: "up", Out: w}, in(copyOfProgram(t, id, changed)))
	test.Is(t, err, ErrVersionMismatch)
	if !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), changed) {
		t.Errorf("it doesn't tell the builds: %v", err)
	}
	p := spawnIt(t, entryDeed, deedArgs{Do: "say", Text: "up", Out: w}, in(copyOfProgram(t, id, id))) // nothing has moved
	if got := get(t, ctx, r); got != "up" {
		t.Error(got)
	}
	test.Check(t, p.Wait(ctx))
}

// copyOfProgram copies the program that runs, with another build ID.
func copyOfProgram(t *testing.T, id, other string) (path string) {
	t.Helper()
	original, err := os.Executable()
	test.Check(t, err)
	content, err := os.ReadFile(original)
	test.Check(t, err)
	return writeProgram(t, filepath.Base(original), bytes.ReplaceAll(content, []byte(id), []byte(other)))
}

func writeProgram(t *testing.T, name string, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	syscall.ForkLock.RLock() // a child of another test, before its exec, would have the file open: then it is busy (go.dev/issue/22315)
	defer syscall.ForkLock.RUnlock()
	test.Check(t, os.WriteFile(path, content, 0o777))
	return path
}
