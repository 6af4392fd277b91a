package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/claim"
	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

const onWindows = true

// systemFailures are those that depend on the system.
var systemFailures = map[string]failure{
	"handles dropped":  {func(c *exec.Cmd) { c.SysProcAttr.AdditionalInheritedHandles = nil }, nil, "other than by appending"},
	"handles reversed": {func(c *exec.Cmd) { slices.Reverse(c.SysProcAttr.AdditionalInheritedHandles) }, nil, "other than by appending"},
	"nothing inherited": {func(c *exec.Cmd) {
		c.SysProcAttr.NoInheritHandles = true
	}, nil, "other than by appending"},
	"SysProcAttr replaced": {func(c *exec.Cmd) {
		replaced := *c.SysProcAttr
		c.SysProcAttr = &replaced
	}, nil, "replaced SysProcAttr"},
	"SysProcAttr dropped": {func(c *exec.Cmd) { c.SysProcAttr = nil }, nil, "other than by appending"},
	"ExtraFiles":          {func(c *exec.Cmd) { c.ExtraFiles = []*os.File{os.Stderr} }, errors.ErrUnsupported, "AdditionalInheritedHandles"},
	"no program":          {func(c *exec.Cmd) { c.Path = `C:\nowhere\at all` }, exec.ErrNotFound, ""},
	"no such user":        {func(c *exec.Cmd) { c.SysProcAttr.Token = syscall.Token(1) }, nil, ""},
}

// OpenDescriptors knows nothing here: what leaks shows over many cycles.
func TestFailedStartsLeaveNoHandle(t *testing.T) {
	fail := func() {
		for name, f := range failures {
			if _, err := Start(fed(Command{Change: f.change})); err == nil {
				t.Fatalf("%s: it started", name)
			}
		}
	}
	fail()
	before := test.HandleCount(t)
	for range 20 {
		fail()
	}
	if after := test.HandleCount(t); after > before+20 { // Go starts threads, which have some
		t.Errorf("%d handles before, %d after", before, after)
	}
}

func TestAppendedHandleIsInheritedAndStaysInheritable(t *testing.T) {
	r, w, err := fd.NewOutputPipe()
	test.Check(t, err)
	defer r.Close()
	defer w.Close()
	h := windows.Handle(fd.Number(w))
	test.Check(t, windows.SetHandleInformation(h, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT))
	var given []syscall.Handle
	c := begin(t, "write", Command{Change: func(cmd *exec.Cmd) {
		a := cmd.SysProcAttr
		given = slices.Clone(a.AdditionalInheritedHandles)
		a.AdditionalInheritedHandles = append(a.AdditionalInheritedHandles, syscall.Handle(h))
	}})
	test.Equal(t, test.IsInheritable(t, h), true)
	for _, g := range given[:1] { // the job's, which is still open here
		test.Equal(t, test.IsInheritable(t, windows.Handle(g)), false)
	}
	c.order(t, fmt.Sprint(uint64(h)))
	got := make([]byte, len("written to 0"))
	_, err = io.ReadFull(r, got)
	test.Check(t, err)
	test.Equal(t, string(got), "written to 0")
	c.endsWith(t, 0)
}

func TestSignalIsKillAlone(t *testing.T) {
	c := begin(t, "wait", Command{})
	test.Equal(t, c.said(t), "up")
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.Signal(0)} {
		test.Is(t, c.Signal(sig), errors.ErrUnsupported)
	}
}

// What can't be what Start passes on is refused, and no child's main is run.
func TestNonsenseIsNotInherited(t *testing.T) {
	path, err := os.Executable()
	test.Check(t, err)
	for value, want := range map[string]string{"x": "invalid syntax", "": "invalid syntax", "7ffffff0": "handle"} {
		cmd := exec.CommandContext(test.Context(t), path)
		cmd.Env = append(os.Environ(), claim.Mark+"="+value, deedEnv+"=nothing")
		said, err := cmd.Output()
		if cmd.ProcessState.ExitCode() != exitRefuse || !strings.Contains(strings.ToLower(string(said)), want) {
			t.Errorf("%q: %v, %s", value, err, said)
		}
	}
}

func init() {
	deeds["write-nothing"] = func(*childSide, string) { // and then something
		for range 10 {
			must(windows.WriteFile(windows.Stdout, nil, new(uint32), nil))
		}
		_, err := os.Stdout.WriteString("text")
		must(err)
	}
}

func TestWriteOfZeroBytesDoesNotEndOutput(t *testing.T) {
	var out strings.Builder
	run := func(t *testing.T, stdout io.Writer) {
		out.Reset()
		begin(t, "write-nothing", Command{Stdout: stdout}).endsWith(t, 0)
	}
	t.Run("Stdout", func(t *testing.T) {
		run(t, &out)
		test.Equal(t, out.String(), "text")
	})
	t.Run("as Wine shows it", func(t *testing.T) {
		r, w := test.MessagePipe(t)
		stdout := os.NewFile(uintptr(w), "pipe")
		run(t, stdout)
		test.Check(t, stdout.Close())
		test.Check(t, feed{from: fd.OpenEnd(uintptr(r), true), to: &tail{w: &out}}.copyOut())
		test.Equal(t, out.String(), "text")
	})
}
