package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/limits"
)

// Command says how to run this program as a child.
type Command struct {
	Name           string   // argv[0]
	Env            []string // nil: this process's
	Dir            string   // "": this process's
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Log            bool             // the child gets a pipe for log records
	Change         func(*exec.Cmd)  // has the last word; nil: nobody has
	Pass           []fd.Inheritable // what else the child inherits; the caller closes it afterwards
	Limits         *limits.Limits   // the part that is held from outside; nil: none
}

// starting is one Start.
type starting struct {
	*Command
	stdio  stdio
	pipes  pipes
	job    job
	passed []uint64 // the numbers in the child of what Pass has

	logNumber uint64 // of the log pipe
}

// Start starts a child. When it fails, nothing of it is left.
func Start(c *Command) (_ *Child, err error) {
	s := starting{Command: c}
	started := false
	defer func() { // a panic in Change comes this way too
		s.stdio.releaseChild()
		s.pipes.releaseChild()
		if !started {
			s.stdio.abandon()
			s.pipes.abandon()
			s.job.release()
			_, _ = s.job.end() // the error that follows matters more
		}
	}()
	if err := s.pipes.open(c.Log); err != nil {
		return nil, err
	}
	cmd, err := s.command()
	if err != nil {
		return nil, err
	}
	if err := s.job.start(cmd); err != nil {
		if _, errDir := os.Stat(cmd.Dir); cmd.Dir != "" && errDir != nil {
			err = fmt.Errorf("SpawnOptions.Dir: %w", errDir) // the system's error names the program instead
		}
		return nil, err
	}
	started = true
	return newChild(cmd, &s), nil
}

func (s *starting) command() (*exec.Cmd, error) {
	path, _, err := executable()
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: path, Args: []string{s.Name}, Env: s.Env, Dir: s.Dir}
	switch {
	case cmd.Env != nil:
		cmd.Env = slices.Clip(cmd.Env)
	case cmd.Dir != "":
		cmd.Env = cmd.Environ() // with PWD
	default:
		cmd.Env = os.Environ() // what occurs twice in it Start drops
	}
	if err := s.stdio.connect(cmd, s.Command); err != nil {
		return nil, err
	}
	if s.job, err = newJob(cmd, s.Limits); err != nil {
		return nil, err
	}
	numbers, intact := s.job.attach(cmd, slices.Concat(s.pipes.child, s.Pass))
	s.passed = numbers[len(s.pipes.child):]
	if s.Log {
		s.logNumber = numbers[logFD]
	}
	if s.Change == nil {
		return cmd, nil
	}
	s.Change(cmd)
	if !intact() {
		return nil, errors.New("SpawnOptions.Command changed, other than by appending, what the child inherits: its files, or its Env; or it replaced SysProcAttr instead of setting fields of it")
	}
	for _, stream := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		if _, isFile := stream.(*os.File); !isFile && stream != nil { // exec.Cmd.Wait, which nobody calls, would serve it
			return nil, fmt.Errorf("SpawnOptions.Command made a %T a standard stream: use SpawnOptions.Stdin, Stdout and Stderr", stream)
		}
	}
	return cmd, nil
}
