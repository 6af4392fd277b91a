package test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Cgroup makes a cgroup for Limits.Cgroup, with these controllers available, and skips the test where it may not. At the end
// there must be no cgroup of a child in it.
func Cgroup(t testing.TB, controllers ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make a cgroup")
	}
	root := t.TempDir()
	if err := unix.Mount("none", root, "cgroup2", 0, ""); err != nil {
		t.Skip("no cgroup file system of version 2: ", err)
	}
	t.Cleanup(func() { Check(t, unix.Unmount(root, unix.MNT_DETACH)) })
	for _, controller := range controllers {
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
			t.Skipf("the controller %q can't be had (it may be in use by cgroups of version 1): %v", controller, err)
		}
	}
	dir, err := os.MkdirTemp(root, "gipc-test-")
	Check(t, err)
	t.Cleanup(func() {
		left, _ := filepath.Glob(filepath.Join(dir, "gipc-*"))
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		Check(t, os.Remove(dir))
	})
	return dir
}
