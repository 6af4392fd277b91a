package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// What a child starts that isn't one of gipc's.

func init() {
	// Starts a process that isn't one of gipc's, and ends, or waits.
	addDeed("grandchild", func(ctx context.Context, a deedArgs) error {
		cmd := test.Stranger()
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if a.File != nil { // it holds the file, and nothing else of ours
			cmd.Stdout, cmd.Stderr = a.File, a.File
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		if a.File != nil {
			a.File.Close()
		}
		if err := a.Out.Put(ctx, fmt.Sprint(cmd.Process.Pid)); err != nil {
			return err
		}
		return endings[a.Text]()
	})
	endings["wait"] = func() error { select {} }
	// Starts its own program as an ordinary command.
	addDeed("plain", func(ctx context.Context, a deedArgs) error {
		path, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.Command(path, "-test.run=^$")
		out, err := cmd.CombinedOutput()
		return errors.Join(err, a.Out.Put(ctx, string(out)))
	})
}

// held starts a child that starts a process that holds a pipe, and returns where the end of that process is seen.
func held(t *testing.T, ctx context.Context, a deedArgs, opts *SpawnOptions) (*Process, fd.End) {
	t.Helper()
	file, w, err := fd.NewOutputPipe()
	test.Check(t, err)
	t.Cleanup(func() { file.Close() })
	r, out := stringPipe(t)
	a.Do, a.File, a.Out = "grandchild", w, out
	p := spawnIt(t, entryDeed, a, opts)
	endWithTest(t, get(t, ctx, r))
	return p, file
}

// endWithTest ends a process, whose pid is given as text, with the test.
func endWithTest(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	test.Check(t, err)
	p, err := os.FindProcess(n)
	test.Check(t, err)
	t.Cleanup(func() {
		_ = p.Kill() // it may have ended
		_ = p.Release()
	})
}

// allGone waits until nobody holds the other end of a pipe.
func allGone(t *testing.T, file fd.End) {
	t.Helper()
	test.Check(t, file.SetReadDeadline(time.Now().Add(30*time.Second)))
	if _, err := io.Copy(io.Discard, file); err != nil {
		t.Errorf("somebody still holds the pipe: %v", err)
	}
}

// Kill takes along what the child has started: its process group, on Windows its job.
func TestKillEndsTheWholeGroup(t *testing.T) {
	ctx := test.Context(t)
	p, file := held(t, ctx, deedArgs{Text: "wait"}, nil)
	test.Check(t, p.Kill())
	allGone(t, file)
}

// A Stop that has to terminate ends them, too.
func TestStopThatTerminatesEndsTheWholeGroup(t *testing.T) {
	ctx := test.Context(t)
	p, file := held(t, ctx, deedArgs{Text: "wait"}, &SpawnOptions{Grace: 200 * time.Millisecond})
	if p.Stop(ctx) == nil {
		t.Error("it did as it was asked")
	}
	allGone(t, file)
}

// A grandchild that outlives the child holds no pipe of ours but stdout and stderr, and those for a second.
func TestGrandchildKeepsNobodyWaiting(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := test.Context(t)
	mine, theirs := duplexOf[string, string](t, nil, nil)
	var out bytes.Buffer
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "grandchild", Talk: theirs, Out: w, Text: "nil"}, &SpawnOptions{Stdout: &out, Stderr: &out})
	endWithTest(t, get(t, ctx, r))
	if _, err := r.Get(ctx); err != io.EOF {
		t.Error(err)
	}
	if _, err := mine.Get(ctx); err != io.EOF {
		t.Error(err)
	}
	// Another test may start a child at this moment, which has copies of all descriptors until it runs its program.
	test.Eventually(t, "nobody reads", func() bool { return errors.Is(mine.Put(ctx, "x"), ErrPeerClosed) })
	test.Check(t, p.Wait(ctx))
}

// A child that starts its own program as an ordinary command gets main, not an entrypoint.
func TestOwnProgramStartedByAChildRunsMain(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "plain", Out: w}, nil)
	if got := get(t, ctx, r); !strings.Contains(got, "PASS") && !strings.Contains(got, "no tests to run") {
		t.Errorf("it printed %q", got)
	}
	test.Check(t, p.Wait(ctx))
}
