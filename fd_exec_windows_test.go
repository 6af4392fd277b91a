package gipc

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// startOutsideJob starts a command in a job that can't take it in.
func startOutsideJob(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	var pipes childPipes
	defer pipes.abandon()
	noError(t, pipes.open())
	j, err := newJob(cmd)
	noError(t, err)
	j.attach(cmd, pipes.child)
	defer func(h windows.Handle) {
		j.handle = h
		j.release()
	}(j.handle)
	j.handle = windows.CurrentProcess() // no job
	return j.start(cmd)
}

var entryWriteHandle = Register("windows: write to a handle", func(_ context.Context, handle uint64) error {
	_, err := windows.Write(windows.Handle(handle), []byte("written"))
	return err
})

func TestHandleAppendedByCommandStaysInheritable(t *testing.T) {
	ctx := testContext(t)
	r, w, err := createPipe(newPipeName(), 0, 0)
	noError(t, err)
	file := os.NewFile(uintptr(r), "pipe")
	defer file.Close()
	defer windows.CloseHandle(w)
	noError(t, windows.SetHandleInformation(w, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT))
	p, err := Spawn(ctx, entryWriteHandle, uint64(w), &SpawnOptions{Command: func(cmd *exec.Cmd) {
		a := cmd.SysProcAttr
		a.AdditionalInheritedHandles = append(a.AdditionalInheritedHandles, syscall.Handle(w))
	}})
	noError(t, err)
	noError(t, p.Wait(ctx))
	got := make([]byte, len("written"))
	if _, err := io.ReadFull(file, got); err != nil || string(got) != "written" {
		t.Errorf("got %q, %v", got, err)
	}
	if !isInheritable(t, w) {
		t.Error("it isn't inheritable any more")
	}
}

func isInheritable(t *testing.T, h windows.Handle) bool {
	t.Helper()
	var flags uint32
	proc := windows.NewLazySystemDLL("kernel32.dll").NewProc("GetHandleInformation")
	if ok, _, err := proc.Call(uintptr(h), uintptr(unsafe.Pointer(&flags))); ok == 0 {
		t.Fatal(err)
	}
	return flags&windows.HANDLE_FLAG_INHERIT != 0
}

// TestChildThatIsEndingIsStarted holds for a child that the system doesn't let into its job because it is about to end:
// how it ended is then for its Process to tell.
func TestChildThatIsEndingIsStarted(t *testing.T) {
	noError(t, startOutsideJob(t, exec.Command(os.Getenv("ComSpec"), "/c", "exit 3")))
	if err := startOutsideJob(t, stranger()); err == nil {
		t.Error("a child that lives outside its job")
	}
}

func TestTerminateOfAnEndingChild(t *testing.T) {
	cmd := stranger()
	noError(t, cmd.Start())
	defer cmd.Wait()
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(cmd.Process.Pid)) // so that access is denied
	noError(t, err)
	defer windows.CloseHandle(h)
	p := &Process{job: job{process: h}}
	time.AfterFunc(100*time.Millisecond, func() { _ = cmd.Process.Kill() })
	if err := p.Terminate(); !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// pretendToUntie makes a used end a bare handle again where the system can't do that.
func pretendToUntie(t *testing.T) {
	real := untie
	t.Cleanup(func() { untie = real })
	untie = func(h windows.Handle) error {
		_ = real(h)
		return nil
	}
}

func TestDeadlineOfABareEndIsAppliedOnce(t *testing.T) {
	pretendToUntie(t)
	r, w, err := newPipe(0)
	noError(t, err)
	defer r.Close()
	defer w.Close()
	noError(t, r.SetReadDeadline(longAgo))
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	noError(t, r.SetReadDeadline(time.Time{}))
	second, err := r.duplicate()
	noError(t, err)
	noError(t, second.Close())
	if r.used.Load() != nil || !r.deadline.IsZero() { // the read below can't show it under Wine: no port, no deadline
		t.Fatalf("in use: %v; deadline %v", r.used.Load() != nil, r.deadline)
	}
	_, err = w.Write([]byte("v"))
	noError(t, err)
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// TestUntiedEndsWorkAfterAFailedSpawn reads and writes by ends that a Spawn had made bare handles again.
func TestUntiedEndsWorkAfterAFailedSpawn(t *testing.T) {
	pretendToUntie(t)
	ctx := testContext(t)
	in, toIn, fromOut, out := usedPipes(t, ctx)
	for range 3 {
		_, err := Spawn(ctx, entryCopy, lineArgs{in, out}, &SpawnOptions{Dir: `C:\no\such\directory`})
		if err == nil {
			t.Fatal("Spawn should fail")
		}
		noError(t, toIn.Put(ctx, "v"))
		noError(t, out.Put(ctx, "v"))
		for _, r := range []*Reader[string]{in, fromOut} {
			if got, err := r.Get(ctx); got != "v" || err != nil {
				t.Fatal(got, err)
			}
		}
	}
}

// TestEnvironmentDoesNotGrowWithTheEnds: a variable has its limits, the control channel has none.
func TestEnvironmentDoesNotGrowWithTheEnds(t *testing.T) {
	cmd := &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{AdditionalInheritedHandles: []syscall.Handle{1}}} // the job
	numbers, intact := new(job).attach(cmd, make([]inheritable, 10_000))
	if len(numbers) != 10_000 || !intact() || len(cmd.Env) != 1 || len(cmd.Env[0]) > 100 {
		t.Errorf("%d numbers, intact %v, environment %.200q", len(numbers), intact(), cmd.Env)
	}
}
