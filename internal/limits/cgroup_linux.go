package limits

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Cgroup is a cgroup of version 2 that is made for one child. Nil, which is what a child without one has, does nothing.
type Cgroup struct {
	path string
	dir  *os.File // nil once the child has started
}

// NewCgroup makes the cgroup that a command's child is to start in; nil if Limits.Cgroup is empty. End removes it.
func (l *Limits) NewCgroup(cmd *exec.Cmd) (_ *Cgroup, err error) {
	if l == nil || l.Cgroup == "" {
		return nil, nil
	}
	if err := l.prepareParent(); err != nil {
		return nil, fmt.Errorf("Limits.Cgroup: %w", err)
	}
	path, err := os.MkdirTemp(l.Cgroup, "gipc-")
	if err != nil {
		return nil, fmt.Errorf("Limits.Cgroup: %w", err)
	}
	g := &Cgroup{path: path}
	if err := g.set(l.controls()); err != nil {
		return nil, errors.Join(fmt.Errorf("Limits.Cgroup: %w", err), g.remove())
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(g.dir.Fd())
	return g, nil
}

func (g *Cgroup) set(controls []control) (err error) {
	if _, err := os.Stat(g.killFile()); err != nil {
		return fmt.Errorf("the kernel is older than Linux 5.14: %w", errors.ErrUnsupported)
	}
	for _, c := range controls {
		err := write(filepath.Join(g.path, c.file), c.value)
		if err != nil && !(c.optional && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	g.dir, err = os.Open(g.path)
	return err
}

func (g *Cgroup) killFile() string { return filepath.Join(g.path, "cgroup.kill") }

// Start starts the command, in the cgroup from its first instruction on. This process stays where it is.
func (g *Cgroup) Start(cmd *exec.Cmd) error {
	if g == nil {
		return cmd.Start()
	}
	defer g.dir.Close()
	if attr := cmd.SysProcAttr; !attr.UseCgroupFD || attr.CgroupFD != int(g.dir.Fd()) {
		return errors.New("SpawnOptions.Command set a cgroup, and so does Limits.Cgroup: leave one of them out")
	}
	return cmd.Start()
}

// End kills all that is left in the cgroup and removes it. It waits for that at most so long.
func (g *Cgroup) End(most time.Duration) (e Events, err error) {
	if g == nil {
		return e, nil
	}
	e = Events{Killed: g.count("memory.events", "oom_kill"), Refused: g.count("pids.events", "max")}
	for deadline := time.Now().Add(most); ; time.Sleep(time.Millisecond) {
		if err = g.remove(); err == nil || time.Now().After(deadline) {
			return e, err
		}
		_ = write(g.killFile(), "1") // the last of them may have ended
	}
}

// count returns a number out of a file with lines of names and numbers; 0 if it has none.
func (g *Cgroup) count(file, name string) int {
	text, _ := os.ReadFile(filepath.Join(g.path, file)) // there is none without its controller
	for line := range bytes.Lines(text) {
		if value, ok := strings.CutPrefix(string(line), name+" "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(value)) // the kernel wrote it
			return n
		}
	}
	return 0
}

// remove removes the cgroup, and those that the child has made in it.
func (g *Cgroup) remove() error {
	if g.dir != nil {
		_ = g.dir.Close() // of a directory
	}
	return removeCgroups(g.path)
}

func removeCgroups(path string) error {
	err := unix.Rmdir(path)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	entries, _ := os.ReadDir(path) // what can't be read can't be removed, either
	for _, entry := range entries {
		if entry.IsDir() {
			_ = removeCgroups(filepath.Join(path, entry.Name())) // else the cgroup itself can't be removed
		}
	}
	if err := unix.Rmdir(path); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}
