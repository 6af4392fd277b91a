//go:build unix

package gipc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestSignalsFromOutsideAreToldApart(t *testing.T) {
	ctx := procCtx(t)
	for sig, crashes := range map[syscall.Signal]bool{
		syscall.SIGKILL: false, syscall.SIGTERM: false, syscall.SIGINT: false, syscall.SIGHUP: false,
		syscall.SIGABRT: true, syscall.SIGSEGV: true, syscall.SIGQUIT: true, // Go's runtime reports these itself
	} {
		t.Run(sig.String(), func(t *testing.T) {
			p := upChild(t, ctx, "ignore ctx", &SpawnOptions{Stderr: new(bytes.Buffer)})
			need(t, p.Signal(sig))
			err := p.Wait(ctx)
			var e *ExitError
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			switch {
			case crashes && (e.Code != 2 || e.Signal != nil || !bytes.HasPrefix([]byte(e.Panic), []byte("SIG"))):
				t.Errorf("%+v", e)
			case !crashes && (e.Code != -int(sig) || e.Signal != os.Signal(sig) || e.Panic != "" || e.Err != nil):
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestStopGivesASIGTERMHandlerItsChance(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := procCtx(t)
	p := upChild(t, ctx, "catch SIGTERM", &SpawnOptions{Grace: 2 * time.Second})
	if err := p.Stop(ctx); err == nil || !bytes.Contains([]byte(err.Error()), []byte("caught terminated")) {
		t.Error(err)
	}
}

func TestStopEndsASuspendedChild(t *testing.T) {
	ctx := procCtx(t)
	p := upChild(t, ctx, "await ctx", &SpawnOptions{Grace: 50 * time.Millisecond})
	need(t, p.Signal(syscall.SIGSTOP))
	err := p.Stop(ctx)
	var e *ExitError
	if !errors.As(err, &e) || e.Signal != syscall.SIGKILL {
		t.Error(err)
	}
}

// held starts a child that starts a process that holds a pipe, and returns where the end of that process is seen.
func held(t *testing.T, ctx context.Context, a deedArgs, opts *SpawnOptions) (*Process, *os.File) {
	t.Helper()
	file, w, err := os.Pipe()
	need(t, err)
	t.Cleanup(func() { file.Close() })
	r, out := stringPipe(t)
	a.Do, a.File, a.Out, a.N = "grandchild", w, out, 1000
	p := spawnIt(t, entryDeed, a, opts)
	if got := get(t, ctx, r); got != "up" {
		t.Fatal(got)
	}
	return p, file
}

// allGone waits until nobody holds the other end of a pipe.
func allGone(t *testing.T, file *os.File) {
	t.Helper()
	need(t, file.SetReadDeadline(time.Now().Add(30*time.Second)))
	if _, err := io.Copy(io.Discard, file); err != nil {
		t.Errorf("somebody still holds the pipe: %v", err)
	}
}

func TestKillEndsTheWholeGroup(t *testing.T) {
	ctx := procCtx(t)
	p, file := held(t, ctx, deedArgs{Text: "wait"}, nil)
	need(t, p.Kill())
	allGone(t, file)
}

// A grandchild that outlives the child holds no pipe of ours but stdout and stderr, and those for a second.
func TestGrandchildKeepsNobodyWaiting(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := procCtx(t)
	mine, theirs := duplexOf[string, string](t, nil, nil)
	var out bytes.Buffer
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "grandchild", Talk: theirs, Out: w, N: 1000, Text: "nil"}, &SpawnOptions{Stdout: &out, Stderr: &out})
	t.Cleanup(func() { _ = syscall.Kill(-p.PID(), syscall.SIGKILL) }) // the sleep is all that is left of its group
	if got := get(t, ctx, r); got != "up" {
		t.Fatal(got)
	}
	if _, err := r.Get(ctx); err != io.EOF {
		t.Error(err)
	}
	if _, err := mine.Get(ctx); err != io.EOF {
		t.Error(err)
	}
	needIs(t, mine.Put(ctx, "x"), ErrPeerClosed)
	need(t, p.Wait(ctx))
}

func TestExitCodeIsUnknownWhereTheSystemReaps(t *testing.T) {
	ctx := procCtx(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "ignore SIGCHLD", Out: w}, nil)
	if got := get(t, ctx, r); got != "true 0 false false" {
		t.Errorf("got %q", got)
	}
	need(t, p.Wait(ctx))
}
