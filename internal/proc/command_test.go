package proc

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/claim"
	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

func TestChildHasItsNameEnvAndDir(t *testing.T) {
	const key = "GIPC_TEST_ABOUT"
	dir, err := filepath.EvalSymlinks(t.TempDir())
	test.Check(t, err)
	c := begin(t, "about "+key, Command{Name: "a name", Env: append(os.Environ(), key+"=value"), Dir: dir})
	for _, want := range []string{"a name", dir, "value false"} { // what passes the descriptors on is gone
		test.Equal(t, c.said(t), want)
	}
	c.endsWith(t, 0)
}

func TestChildHasThisProcesssEnvAndDir(t *testing.T) {
	const key = "GIPC_TEST_ABOUT"
	t.Setenv(key, "value")
	t.Setenv(deedEnv, "about "+key)
	here, err := os.Getwd()
	test.Check(t, err)
	test.Bounded(t)
	child, err := Start(&Command{Name: "child"})
	test.Check(t, err)
	defer child.Orders.Close()
	said := test.Started(func() string {
		all, err := io.ReadAll(child.Reports)
		return fmt.Sprint(string(all), err)
	})
	c := (&life{Child: child}).serve()
	test.Equal(t, <-said, "child\n"+here+"\nvalue false\n<nil>")
	c.endsWith(t, 0)
	if _, marked := os.LookupEnv(claim.Mark); marked {
		t.Error("this process's own environment has changed")
	}
}

// Several Starts may use one Env at the same time.
func TestCallersEnvIsNotWrittenTo(t *testing.T) {
	env := append(make([]string, 0, 1000), os.Environ()...)
	own := append(env, deedEnv+"=nothing")
	test.Check(t, func() error {
		child, err := Start(&Command{Name: "child", Env: own})
		if err != nil {
			return err
		}
		return (&life{Child: child}).serve().end()
	}())
	for _, behind := range own[len(own):cap(own)] {
		test.Equal(t, behind, "")
	}
}

func TestPassedDescriptorsAreTheChilds(t *testing.T) {
	for _, log := range []bool{false, true} {
		passDescriptors(t, log)
	}
}

func passDescriptors(t *testing.T, log bool) {
	t.Helper()
	const n = 20
	var ends []fd.End
	var pass []fd.Inheritable
	for range n {
		r, w, err := fd.NewOutputPipe()
		test.Check(t, err)
		defer r.Close()
		given, err := fd.GiveFile(w)
		test.Check(t, err)
		ends, pass = append(ends, r), append(pass, given)
	}
	c := begin(t, "write", Command{Pass: pass, Log: log})
	if log {
		defer c.Log.Close()
	}
	for _, f := range pass {
		test.Check(t, f.Close()) // they belong to the caller
	}
	test.Equal(t, len(c.Passed), n)
	c.order(t, strings.Trim(fmt.Sprint(c.Passed), "[]"))
	for i, r := range ends {
		got, err := io.ReadAll(r)
		test.Check(t, err)
		test.Equal(t, string(got), fmt.Sprint("written to ", i))
	}
	c.endsWith(t, 0)
}

func TestLogPipeIsThereWhereItIsAskedFor(t *testing.T) {
	c := begin(t, "log said aside", Command{Log: true})
	defer c.Log.Close()
	c.order(t, fmt.Sprint(c.LogNumber))
	said, err := io.ReadAll(c.Log)
	test.Check(t, err)
	test.Equal(t, string(said), "said aside")
	c.endsWith(t, 0)

	c = begin(t, "nothing", Command{})
	if c.Log != nil || c.LogNumber != 0 {
		t.Error(c.Log, c.LogNumber)
	}
	c.endsWith(t, 0)
}

// failure is a command that can't be started.
type failure struct {
	change func(*exec.Cmd)
	is     error
	text   string
}

var failures = map[string]failure{
	"Env dropped":      {func(c *exec.Cmd) { c.Env = nil }, nil, "other than by appending"},
	"Env replaced":     {func(c *exec.Cmd) { c.Env = []string{"A=b"} }, nil, "other than by appending"},
	"Env mark changed": {func(c *exec.Cmd) { c.Env[len(c.Env)-1] += "0" }, nil, "other than by appending"},
	"Stdin a reader":   {func(c *exec.Cmd) { c.Stdin = strings.NewReader("") }, nil, "*strings.Reader a standard stream"},
	"Stdout a writer":  {func(c *exec.Cmd) { c.Stdout = new(strings.Builder) }, nil, "*strings.Builder a standard stream"},
	"Stderr a writer":  {func(c *exec.Cmd) { c.Stderr = new(strings.Builder) }, nil, "*strings.Builder a standard stream"},
	"no directory":     {func(c *exec.Cmd) { c.Dir = filepath.Join(os.TempDir(), "gipc", "no", "such") }, os.ErrNotExist, "SpawnOptions.Dir: "},
	"another error":    {func(c *exec.Cmd) { c.Err = exec.ErrDot }, exec.ErrDot, ""},
}

func init() { maps.Copy(failures, systemFailures) }

func TestCommandThatCantBeStartedLeavesNothing(t *testing.T) {
	test.Bounded(t)
	for name, f := range failures {
		t.Run(name, func(t *testing.T) {
			before := test.OpenDescriptors(t)
			_, err := Start(fed(Command{Change: f.change}))
			if err == nil || !strings.Contains(err.Error(), f.text) {
				t.Fatalf("error %v, want %q in it", err, f.text)
			}
			if f.is != nil {
				test.Is(t, err, f.is)
			}
			test.Equal(t, test.OpenDescriptors(t), before)
		})
	}
}

// fed makes a command whose standard streams are all pipes.
func fed(c Command) *Command {
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader("x"), new(strings.Builder), new(strings.Builder)
	return doing("nothing", &c)
}

func TestMissingDirIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	_, err := Start(fed(Command{Dir: dir}))
	test.Is(t, err, os.ErrNotExist)
	if !strings.Contains(err.Error(), "SpawnOptions.Dir") || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

func TestPanicInChangeLeavesNothing(t *testing.T) {
	before := test.OpenDescriptors(t)
	func() {
		defer func() { test.Equal(t, recover(), any("changed my mind")) }()
		_, err := Start(fed(Command{Change: func(*exec.Cmd) { panic("changed my mind") }}))
		t.Errorf("Start returned %v", err)
	}()
	test.Equal(t, test.OpenDescriptors(t), before)
}

// What Change may do: append, and replace a standard stream by a file.
func TestChangeAppends(t *testing.T) {
	const key = "GIPC_TEST_ABOUT"
	null, err := os.Open(os.DevNull)
	test.Check(t, err)
	defer null.Close()
	c := begin(t, "about "+key, Command{Change: func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, key+"=appended")
		cmd.Args[0] = "another name"
		cmd.Stdin = null
	}})
	test.Equal(t, c.said(t), "another name")
	c.said(t)
	test.Equal(t, c.said(t), "appended false")
	c.endsWith(t, 0)
}

// A child's life leaves no descriptor and no goroutine, however it ends.
func TestNothingIsLeftOfAChild(t *testing.T) {
	lives := map[string]func(c *life) error{
		"nothing":      func(*life) error { return nil },
		"panic boom":   func(*life) error { return nil },
		"print-much 9": func(*life) error { return nil },
		"wait":         func(c *life) error { _, err := c.lines.ReadString('\n'); return errors.Join(err, c.Kill()) },
		"obey":         func(c *life) error { return c.Orders.Close() },
	}
	live := func(t *testing.T) {
		for deed, live := range lives {
			cmd := fed(Command{})
			c := begin(t, deed, *cmd)
			test.Check(t, live(c))
			test.Check(t, c.end())
		}
	}
	live(t) // what is made once is there now
	before, goroutines := test.OpenDescriptors(t), runtime.NumGoroutine()
	for range test.Scaled(8) {
		live(t)
	}
	test.Equal(t, test.OpenDescriptors(t), before)
	test.Eventually(t, "all goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
}
