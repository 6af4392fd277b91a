package gipc

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/test"
)

// startPlain starts a process that knows nothing of this package, and that inherits every handle that can be inherited,
// as one started by C code does. os/exec would give it a list of handles.
func startPlain() (pid int, err error) {
	path, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var plain exec.Cmd
	test.AsStranger(&plain)
	key, value, _ := strings.Cut(plain.Env[0], "=")
	if err := os.Setenv(key, value); err != nil {
		return 0, err
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	startup := windows.StartupInfo{Cb: uint32(unsafe.Sizeof(windows.StartupInfo{}))}
	var info windows.ProcessInformation
	if err := windows.CreateProcess(name, nil, nil, nil, true, 0, nil, nil, &startup, &info); err != nil {
		return 0, err
	}
	_, _ = windows.CloseHandle(info.Thread), windows.CloseHandle(info.Process)
	return int(info.ProcessId), nil
}

type plainArgs struct {
	PIDs *Writer[int]
	Wait bool
}

var entryPlain = Register("windows: start a plain process", func(ctx context.Context, a plainArgs) error {
	pid, err := startPlain()
	if err != nil {
		return err
	}
	if err := a.PIDs.Put(ctx, pid); err != nil {
		return err
	}
	if a.Wait {
		select {}
	}
	return nil
})

var entryMiddle = Register("windows: spawn an obstinate child", func(ctx context.Context, pids *Writer[int]) error {
	_, err := Spawn(ctx, entryPlain, plainArgs{PIDs: pids, Wait: true}, &SpawnOptions{Grace: 200 * time.Millisecond})
	if err != nil {
		return err
	}
	select {}
})

var entryLast = Register("windows: say a last word", func(ctx context.Context, out *Writer[string]) error {
	if err := out.Put(ctx, "began"); err != nil {
		return err
	}
	<-ctx.Done()
	time.Sleep(100 * time.Millisecond) // a part of the grace: nobody is left who could send a message
	return out.Put(context.Background(), "had its grace")
})

var entryMiddleOfLast = Register("windows: spawn a child that says a last word", func(ctx context.Context, out *Writer[string]) error {
	if _, err := Spawn(ctx, entryLast, out, nil); err != nil {
		return err
	}
	select {}
})

// openProcess returns a handle that tells a process's end.
func openProcess(t *testing.T, pid int) windows.Handle {
	t.Helper()
	h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_TERMINATE, false, uint32(pid))
	test.Check(t, err)
	t.Cleanup(func() {
		_ = windows.TerminateProcess(h, 1)
		_ = windows.CloseHandle(h)
	})
	return h
}

func hasEnded(t *testing.T, process windows.Handle, within time.Duration) bool {
	t.Helper()
	event, err := windows.WaitForSingleObject(process, uint32(within.Milliseconds()))
	test.Check(t, err)
	return event == windows.WAIT_OBJECT_0
}

func spawnPlain(t *testing.T, ctx context.Context, wait bool) (*Process, *Reader[int], windows.Handle) {
	t.Helper()
	r, w, err := Pipe[int](nil)
	test.Check(t, err)
	p, err := Spawn(ctx, entryPlain, plainArgs{w, wait}, nil)
	test.Check(t, err)
	pid, err := r.Get(ctx)
	test.Check(t, err)
	return p, r, openProcess(t, pid)
}

func TestKillEndsDescendants(t *testing.T) {
	ctx := test.Context(t)
	p, _, plain := spawnPlain(t, ctx, true)
	test.Check(t, p.Kill())
	var exit *ExitError
	if err := p.Wait(ctx); !errors.As(err, &exit) || exit.Code != 128+9 || exit.Signal != nil {
		t.Errorf("got %v", err)
	}
	if !hasEnded(t, plain, 10*time.Second) {
		t.Error("what the child started lives on")
	}
	if err := p.Kill(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a second Kill: %v", err)
	}
	if err := p.Terminate(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Terminate: %v", err)
	}
}

func TestTerminateAndSignalEndTheChildAlone(t *testing.T) {
	end := func(t *testing.T, end func(*Process) error, code int) {
		ctx := test.Context(t)
		p, r, plain := spawnPlain(t, ctx, true)
		test.Check(t, end(p))
		var exit *ExitError
		if err := p.Wait(ctx); !errors.As(err, &exit) || exit.Code != code || exit.Signal != nil {
			t.Errorf("got %v", err)
		}
		if _, err := r.Get(ctx); !errors.Is(err, io.ErrUnexpectedEOF) { // the other process holds no pipe
			t.Error(err)
		}
		if hasEnded(t, plain, 100*time.Millisecond) {
			t.Error("what the child started has ended too")
		}
		if err := end(p); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("the second time: %v", err)
		}
	}
	t.Run("Terminate", func(t *testing.T) { end(t, (*Process).Terminate, 128+15) })
	t.Run("Signal", func(t *testing.T) {
		end(t, func(p *Process) error { return p.Signal(os.Kill) }, 128+9)
	})
}

func TestDescendantOutlivesItsChildWithoutPipes(t *testing.T) {
	ctx := test.Context(t)
	p, r, plain := spawnPlain(t, ctx, false)
	test.Check(t, p.Wait(ctx))
	if _, err := r.Get(ctx); err != io.EOF {
		t.Error(err)
	}
	if hasEnded(t, plain, 100*time.Millisecond) {
		t.Error("it has ended")
	}
}

func TestNoOrphanAfterTheParentIsTerminated(t *testing.T) {
	ctx := test.Context(t)
	r, w, err := Pipe[int](nil)
	test.Check(t, err)
	middle, err := Spawn(ctx, entryMiddle, w, nil)
	test.Check(t, err)
	pid, err := r.Get(ctx)
	test.Check(t, err)
	plain := openProcess(t, pid)
	test.Check(t, middle.Terminate())
	if _, err := r.Get(ctx); !errors.Is(err, io.ErrUnexpectedEOF) { // the grandchild has it, until it ends
		t.Error(err)
	}
	if !hasEnded(t, plain, 10*time.Second) {
		t.Error("a plain process of the orphan's lives on")
	}
}

func TestOrphanHasItsGraceOnWindows(t *testing.T) {
	ctx := test.Context(t)
	r, w, err := Pipe[string](nil)
	test.Check(t, err)
	middle, err := Spawn(ctx, entryMiddleOfLast, w, nil)
	test.Check(t, err)
	for _, want := range []string{"began", "had its grace"} {
		if got, err := r.Get(ctx); got != want || err != nil {
			t.Fatal(got, err)
		}
		_ = middle.Terminate() // the second time it has ended
	}
	if _, err := r.Get(ctx); err != io.EOF {
		t.Error(err)
	}
}
