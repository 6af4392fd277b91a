package gipc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Where /proc is missing, as in a bare chroot, a child runs what the parent was started as.
func TestSpawnWithoutProc(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	root := t.TempDir()
	need(t, os.Mkdir(filepath.Join(root, "dev"), 0o755))
	need(t, os.WriteFile(filepath.Join(root, "dev/null"), nil, 0o644))
	need(t, os.Rename(buildSmall(t, "one"), filepath.Join(root, "small")))
	for _, path := range []string{"/small", "./small"} {
		cmd := exec.CommandContext(procCtx(t), path)
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
		cmd.Stdin = strings.NewReader("\n")
		cmd.Stderr = os.Stderr
		said, err := cmd.Output()
		if errors.Is(err, os.ErrPermission) {
			t.Skip("this user may not change the root directory")
		}
		need(t, err)
		if string(said) != "hello from one <nil>\n" {
			t.Errorf("started as %s: %s", path, said)
		}
	}
}
