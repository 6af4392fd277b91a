package work

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// A child that isn't gipc's is this program, started again with these in its environment.
const (
	childEnv    = "GIPC_BENCH_CHILD"
	workloadEnv = "GIPC_BENCH_WORKLOAD"
)

// A ChildFunc is what a child does. It reads from in until its end, and writes to out.
type ChildFunc func(w Workload, in, out *os.File) error

var children = map[string]ChildFunc{}

// RegisterChild names what a child does. Call it when the program starts.
func RegisterChild(name string, f ChildFunc) {
	if children[name] != nil {
		panic("two children named " + name)
	}
	children[name] = f
}

// RunChild must stand at the beginning of main and TestMain. In a child it does its work and never returns.
func RunChild() {
	name := os.Getenv(childEnv)
	if name == "" {
		return
	}
	if err := runChild(name); err != nil {
		fmt.Fprintf(os.Stderr, "child %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(name string) error {
	f := children[name]
	if f == nil {
		return fmt.Errorf("there is no such child")
	}
	var w Workload
	if err := json.Unmarshal([]byte(os.Getenv(workloadEnv)), &w); err != nil {
		return err
	}
	err := f(w, os.NewFile(3, "in"), os.NewFile(4, "out"))
	if err == io.EOF {
		return nil
	}
	return err
}

// Command is the command of a child, not yet started, without pipes and standard error.
func Command(name string, w Workload) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+name, workloadEnv+"="+string(text))
	return cmd, nil
}

// A Child is a process at the other end of two pipes.
type Child struct {
	In  *os.File // what the child writes
	Out *os.File // what the child reads
	cmd *exec.Cmd
}

// StartChild starts a child that RegisterChild knows. Close it.
func StartChild(name string, w Workload) (_ *Child, err error) {
	cmd, err := Command(name, w)
	if err != nil {
		return nil, err
	}
	theirIn, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	in, theirOut, err := os.Pipe()
	if err != nil {
		out.Close()
		return nil, err
	}
	defer theirOut.Close()
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	if err := cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	return &Child{In: in, Out: out, cmd: cmd}, nil
}

// Close closes the pipes and waits until the child has ended.
func (c *Child) Close() error {
	c.Out.Close()
	err := c.cmd.Wait()
	c.In.Close()
	return err
}
