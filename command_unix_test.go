//go:build unix

package gipc

import (
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

// A child in a session of its own leads a group as well.
func TestChildInASessionOfItsOwn(t *testing.T) {
	ctx := test.Context(t)
	own := &SpawnOptions{Command: func(cmd *exec.Cmd) { cmd.SysProcAttr.Setsid = true }}
	p := upChild(t, ctx, "ignore ctx", own)
	session, err := unix.Getsid(p.PID())
	test.Check(t, err)
	test.Equal(t, session, p.PID())

	p, file := held(t, ctx, deedArgs{Text: "wait"}, own)
	test.Check(t, p.Kill())
	allGone(t, file)
}

func TestRootWithoutTheProgramIsExplained(t *testing.T) {
	root := t.TempDir()
	_, err := Spawn(test.Context(t), entryDeed, deedArgs{Do: "nothing"}, &SpawnOptions{
		Command: func(cmd *exec.Cmd) { cmd.SysProcAttr.Chroot = root },
	})
	if errors.Is(err, fs.ErrPermission) {
		t.Skip("this user may not change the root directory")
	}
	test.Is(t, err, fs.ErrNotExist)
	for _, want := range []string{root, "/proc"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in: %v", want, err)
		}
	}
}
