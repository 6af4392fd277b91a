//go:build unix

package gipc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// smallProgram is a program that spawns. Its first argument says what it does.
const smallProgram = `package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/go-gipc/gipc"
)

var hello = gipc.Register("hello", func(ctx context.Context, w *gipc.Writer[string]) error {
	return w.Put(ctx, "hello from " + version)
})

var version = "one"

func main() {
	if len(os.Args) == 1 || os.Args[1] != "no init" {
		gipc.Init()
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(once(lines.Text()))
	}
}

func once(path string) string {
	if path == "nothing" {
		return path
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, w, err := gipc.Pipe[string](nil)
	if err != nil {
		return err.Error()
	}
	p, err := gipc.Spawn(ctx, hello, w, &gipc.SpawnOptions{Command: func(cmd *exec.Cmd) {
		if path != "" {
			cmd.Path = path
		}
	}})
	if err != nil {
		return err.Error()
	}
	text, err := r.Get(ctx)
	if err == nil {
		err = p.Wait(ctx)
	}
	return fmt.Sprint(text, " ", err)
}
`

// buildSmall builds the program, of a version.
func buildSmall(t *testing.T, version string) (path string) {
	t.Helper()
	path, err := buildProgram(t, strings.Replace(smallProgram, `"one"`, `"`+version+`"`, 1))
	test.Check(t, err)
	return path
}

// buildProgram builds a program of this module, with more in the environment. The error has what go says.
func buildProgram(t *testing.T, source string, env ...string) (path string, err error) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	path = filepath.Join(t.TempDir(), "small")
	test.Check(t, os.WriteFile(path+".go", []byte(source), 0o666))
	build := exec.Command("go", "build", "-o", path, path+".go")
	build.Dir, build.Env = filepath.Dir(here), append(os.Environ(), env...)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}

// smallRun is the smallProgram program, which spawns once for each line.
type smallRun struct {
	ask    *os.File
	answer chan string
}

func runSmall(t *testing.T, ctx context.Context, path, how string) *smallRun {
	t.Helper()
	cmd := exec.CommandContext(ctx, path, how)
	in, ask, err := os.Pipe()
	test.Check(t, err)
	cmd.Stdin = in
	answers, out, err := os.Pipe()
	test.Check(t, err)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	test.Check(t, cmd.Start())
	test.Check(t, in.Close())
	test.Check(t, out.Close())
	r := &smallRun{ask, make(chan string, 10)}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := answers.Read(buf)
			if err != nil {
				close(r.answer)
				return
			}
			r.answer <- strings.TrimSpace(string(buf[:n]))
		}
	}()
	t.Cleanup(func() {
		_ = ask.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		_ = answers.Close()
	})
	return r
}

func (r *smallRun) spawn(t *testing.T, path string) string {
	t.Helper()
	_, err := r.ask.WriteString(path + "\n")
	test.Check(t, err)
	return <-r.answer
}

func TestProgramsOnDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	t.Parallel() // most of it is the compiler
	ctx := test.Context(t)
	one := buildSmall(t, "one")
	two := buildSmall(t, "two")

	t.Run("Init forgotten", func(t *testing.T) {
		if got := runSmall(t, ctx, one, "no init").spawn(t, ""); !strings.HasSuffix(got, ErrNotInitialized.Error()) {
			t.Error(got)
		}
	})
	t.Run("another build", func(t *testing.T) {
		if got := runSmall(t, ctx, one, "").spawn(t, two); !strings.Contains(got, ErrVersionMismatch.Error()) {
			t.Error(got)
		}
	})
	t.Run("another build of the same size and time", func(t *testing.T) {
		then := time.Unix(315532800, 0)
		one, two := copyOf(t, one), copyOf(t, two)
		for _, path := range []string{one, two} {
			test.Check(t, os.Truncate(path, 32<<20)) // what is behind a program does no harm
			test.Check(t, os.Chtimes(path, then, then))
		}
		if got := runSmall(t, ctx, one, "").spawn(t, two); !strings.Contains(got, ErrVersionMismatch.Error()) {
			t.Error(got)
		}
	})
	t.Run("the same build elsewhere", func(t *testing.T) {
		if got := runSmall(t, ctx, one, "").spawn(t, copyOf(t, one)); got != "hello from one <nil>" {
			t.Error(got)
		}
	})
	t.Run("touched", func(t *testing.T) {
		path := copyOf(t, one)
		p := runSmall(t, ctx, path, "")
		p.spawn(t, "nothing") // Init has seen the file
		test.Check(t, os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)))
		got := p.spawn(t, "")
		if runtime.GOOS == "linux" && got != "hello from one <nil>" { // elsewhere nothing tells it from a replacement
			t.Error(got)
		}
	})
	t.Run("replaced and deleted", func(t *testing.T) {
		path := copyOf(t, one)
		p := runSmall(t, ctx, path, "")
		test.Check(t, os.Rename(copyOf(t, two), path))
		replaced := p.spawn(t, "")
		test.Check(t, os.Remove(path))
		deleted := p.spawn(t, "")
		if runtime.GOOS == "linux" {
			if want := "hello from one <nil>"; replaced != want || deleted != want {
				t.Errorf("replaced: %s; deleted: %s", replaced, deleted)
			}
		} else if !strings.Contains(replaced, ErrVersionMismatch.Error()) || !strings.Contains(deleted, "no such file") {
			t.Errorf("replaced: %s; deleted: %s", replaced, deleted)
		}
	})
}

func copyOf(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	test.Check(t, err)
	return writeProgram(t, "copy", content)
}
