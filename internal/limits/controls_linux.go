package limits

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// control is a file of a cgroup that holds a limit.
type control struct {
	controller, file, value string
	optional                bool // the kernel may be built without it
}

func (l *Limits) controls() (all []control) {
	if l.Memory > 0 {
		all = append(all,
			control{controller: "memory", file: "memory.max", value: strconv.FormatInt(l.Memory, 10)},
			control{controller: "memory", file: "memory.swap.max", value: "0", optional: true})
	}
	if l.Processes > 0 {
		all = append(all, control{controller: "pids", file: "pids.max", value: strconv.Itoa(l.Processes)})
	}
	return all
}

// prepareParent checks the directory that the user has named, and lets the cgroups below it have the controllers they need.
func (l *Limits) prepareParent() error {
	var info unix.Statfs_t
	if err := unix.Statfs(l.Cgroup, &info); err != nil {
		return &fs.PathError{Op: "statfs", Path: l.Cgroup, Err: err}
	}
	if info.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("%s is no directory of a cgroup file system of version 2: %w", l.Cgroup, errors.ErrUnsupported)
	}
	file := filepath.Join(l.Cgroup, "cgroup.subtree_control")
	enabled, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, c := range l.controls() {
		if slices.Contains(strings.Fields(string(enabled)), c.controller) {
			continue
		}
		switch err := write(file, "+"+c.controller); {
		case errors.Is(err, unix.ENOENT):
			return fmt.Errorf("the controller %q is not delegated to %s (see its cgroup.controllers): %w", c.controller, l.Cgroup, errors.ErrUnsupported)
		case errors.Is(err, unix.EBUSY):
			return fmt.Errorf("%w: there are processes in it, name a cgroup that has none (under systemd: Delegate=yes and DelegateSubgroup=)", err)
		case err != nil:
			return err
		}
	}
	return nil
}

// write writes to a file that is there: os.WriteFile would say that it may not make it.
func write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
