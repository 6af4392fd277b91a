package gipc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// Where /proc is missing, as in a bare chroot, a child runs what the parent was started as.
func TestSpawnWithoutProc(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	root := t.TempDir()
	test.Check(t, os.Mkdir(filepath.Join(root, "dev"), 0o755))
	test.Check(t, os.WriteFile(filepath.Join(root, "dev/null"), nil, 0o644))
	test.Check(t, os.Rename(buildSmall(t, "one"), filepath.Join(root, "small")))
	for _, path := range []string{"/small", "./small"} {
		cmd := exec.CommandContext(test.Context(t), path)
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
		cmd.Stdin = strings.NewReader("\n")
		cmd.Stderr = os.Stderr
		said, err := cmd.Output()
		if errors.Is(err, os.ErrPermission) {
			t.Skip("this user may not change the root directory")
		}
		test.Check(t, err)
		if string(said) != "hello from one <nil>\n" {
			t.Errorf("started as %s: %s", path, said)
		}
	}
}
