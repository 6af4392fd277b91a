package pool

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// A deploy replaces the program's file while its pool is at work: fresh workers are of the program that runs.
func TestExecutableIsReplaced(t *testing.T) {
	test.SkipUnderQEMU(t, "it starts /proc/self/exe by its name, which is another file by then")
	const inCopy = "GIPC_TEST_IN_COPY"
	if os.Getenv(inCopy) == "" {
		path, err := os.Executable()
		test.Check(t, err)
		own := filepath.Join(t.TempDir(), "program")
		test.Check(t, exec.Command("cp", path, own).Run()) // a file that this program wrote might be open in a child that another test starts
		cmd := exec.Command(own, "-test.run=^TestExecutableIsReplaced$")
		cmd.Env = append(os.Environ(), inCopy+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	path, err := os.Executable()
	test.Check(t, err)
	p := newTestPool(t, Options{Max: 1})
	first := pid(t, p)
	test.Check(t, os.Remove(path))
	test.Check(t, os.WriteFile(path, []byte("another version"), 0o700))
	test.Check(t, killPID(first))
	test.Eventually(t, "the worker is gone", func() bool { return p.Stats().Lost == 1 })
	if second := pid(t, p); second == first {
		t.Errorf("the worker is still %d", second)
	}
}
