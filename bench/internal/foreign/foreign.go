// Package foreign has the rivals in other languages. Each is a program that starts a child of its own and measures itself. It
// says "ready", then reads a number of messages a line and answers with the nanoseconds that they took and, for round trips,
// the median and the 99th percentile. It ends when its standard input does.
package foreign

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-gipc/gipc/bench/internal/work"
)

// All is every rival of this package, in the order of the tables. Python is the interpreter that has gipc; "" for none.
func All(python string) []work.Rival {
	return append(pythons(python), node{}, &rust{})
}

//go:embed programs
var programs embed.FS

// unpack writes the programs into a new directory.
func unpack() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "gipc-bench-"); err != nil {
		return "", err
	}
	from, err := fs.Sub(programs, "programs")
	if err == nil {
		err = os.CopyFS(dir, from)
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

// arguments are those of every program.
func arguments(w work.Workload) []string {
	return []string{string(w.Kind), strconv.Itoa(w.Size), strconv.Itoa(w.InFlight)}
}

// program is a Session of a foreign program that runs.
type program struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	behind func() error // called after its end
}

// start starts a program and waits until it is ready. behind is called when it has ended, or could not be started.
func start(cmd *exec.Cmd, behind func() error) (work.Session, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, behind())
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, behind())
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, behind())
	}
	p := &program{cmd, in, bufio.NewReader(out), behind}
	if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
		return nil, errors.Join(fmt.Errorf("%s says %q, not that it is ready: %w", cmd, line, err), p.Close())
	}
	return p, nil
}

func (p *program) Run(n int) (work.Round, error) {
	if _, err := fmt.Fprintln(p.in, n); err != nil {
		return work.Round{}, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return work.Round{}, err
	}
	var times [3]time.Duration
	for i, field := range strings.Fields(line) {
		ns, err := strconv.ParseInt(field, 10, 64)
		if err != nil || i >= len(times) {
			return work.Round{}, fmt.Errorf("%s says %q", p.cmd, line)
		}
		times[i] = time.Duration(ns)
	}
	return work.Round{Total: times[0], P50: times[1], P99: times[2]}, nil
}

func (p *program) Close() error {
	p.in.Close()
	return errors.Join(p.cmd.Wait(), p.behind())
}

// script starts a program of this package with an interpreter.
func script(interpreter, name string, args ...string) (work.Session, error) {
	dir, err := unpack()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(interpreter, append([]string{filepath.Join(dir, name)}, args...)...)
	return start(cmd, func() error { return os.RemoveAll(dir) })
}

// output is the first line that a command prints. "" if it fails.
func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
