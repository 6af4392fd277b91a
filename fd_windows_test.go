package gipc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/windows"
)

// plainEnv makes a process of the test binary one that only sleeps.
const plainEnv = "GIPC_TEST_PLAIN"

func init() {
	if os.Getenv(plainEnv) != "" {
		time.Sleep(10 * time.Minute)
		os.Exit(0)
	}
}

// startPlain starts a process that knows nothing of this package, and that inherits every handle that can be inherited,
// as one started by C code does. os/exec would give it a list of handles.
func startPlain() (pid int, err error) {
	path, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if err := os.Setenv(plainEnv, "1"); err != nil {
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

type lineArgs struct {
	In  *Reader[string]
	Out *Writer[string]
}

var entryCopy = Register("windows: copy", func(ctx context.Context, a lineArgs) error {
	for v, err := range a.In.All(ctx) {
		if err != nil {
			return err
		}
		if err := a.Out.Put(ctx, v); err != nil {
			return err
		}
	}
	return nil
})

var entryCopyDeeper = Register("windows: copy in a grandchild", func(ctx context.Context, a lineArgs) error {
	p, err := Spawn(ctx, entryCopy, a, nil)
	if err != nil {
		return err
	}
	return p.Wait(ctx)
})

// entryGiveUp cancels its Get after each message.
var entryGiveUp = Register("windows: cancel a Get", func(ctx context.Context, a lineArgs) error {
	for range 3 {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		_, err := a.In.Get(short)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return errors.New("not cancelled")
		}
		if err := a.Out.Put(ctx, "given up"); err != nil {
			return err
		}
		v, err := a.In.Get(ctx)
		if err != nil {
			return err
		}
		if err := a.Out.Put(ctx, v); err != nil {
			return err
		}
	}
	return nil
})

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openProcess returns a handle that tells a process's end.
func openProcess(t *testing.T, pid int) windows.Handle {
	t.Helper()
	h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_TERMINATE, false, uint32(pid))
	noError(t, err)
	t.Cleanup(func() {
		_ = windows.TerminateProcess(h, 1)
		_ = windows.CloseHandle(h)
	})
	return h
}

func hasEnded(t *testing.T, process windows.Handle, within time.Duration) bool {
	t.Helper()
	event, err := windows.WaitForSingleObject(process, uint32(within.Milliseconds()))
	noError(t, err)
	return event == windows.WAIT_OBJECT_0
}

func spawnPlain(t *testing.T, ctx context.Context, wait bool) (*Process, *Reader[int], windows.Handle) {
	t.Helper()
	r, w, err := Pipe[int](nil)
	noError(t, err)
	p, err := Spawn(ctx, entryPlain, plainArgs{w, wait}, nil)
	noError(t, err)
	pid, err := r.Get(ctx)
	noError(t, err)
	return p, r, openProcess(t, pid)
}

func TestKillEndsDescendants(t *testing.T) {
	ctx := testContext(t)
	p, _, plain := spawnPlain(t, ctx, true)
	noError(t, p.Kill())
	var exit *ExitError
	if err := p.Wait(ctx); !errors.As(err, &exit) || exit.Code != exitKilled || exit.Signal != nil {
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
		ctx := testContext(t)
		p, r, plain := spawnPlain(t, ctx, true)
		noError(t, end(p))
		var exit *ExitError
		if err := p.Wait(ctx); !errors.As(err, &exit) || exit.Code != code || exit.Signal != nil {
			t.Errorf("got %v", err)
		}
		if _, err := r.Get(ctx); err != io.EOF { // the other process holds no pipe
			t.Error(err)
		}
		if hasEnded(t, plain, 100*time.Millisecond) {
			t.Error("what the child started has ended too")
		}
		if err := end(p); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("the second time: %v", err)
		}
	}
	t.Run("Terminate", func(t *testing.T) { end(t, (*Process).Terminate, exitTerminated) })
	t.Run("Signal", func(t *testing.T) {
		end(t, func(p *Process) error { return p.Signal(os.Kill) }, exitKilled)
	})
}

func TestDescendantOutlivesItsChildWithoutPipes(t *testing.T) {
	ctx := testContext(t)
	p, r, plain := spawnPlain(t, ctx, false)
	noError(t, p.Wait(ctx))
	if _, err := r.Get(ctx); err != io.EOF {
		t.Error(err)
	}
	if hasEnded(t, plain, 100*time.Millisecond) {
		t.Error("it has ended")
	}
}

func TestNoOrphanAfterTheParentIsTerminated(t *testing.T) {
	ctx := testContext(t)
	r, w, err := Pipe[int](nil)
	noError(t, err)
	middle, err := Spawn(ctx, entryMiddle, w, nil)
	noError(t, err)
	pid, err := r.Get(ctx)
	noError(t, err)
	plain := openProcess(t, pid)
	noError(t, middle.Terminate())
	if _, err := r.Get(ctx); err != io.EOF { // the grandchild has it, until it ends
		t.Error(err)
	}
	if !hasEnded(t, plain, 10*time.Second) {
		t.Error("a plain process of the orphan's lives on")
	}
}

func TestOrphanHasItsGraceOnWindows(t *testing.T) {
	ctx := testContext(t)
	r, w, err := Pipe[string](nil)
	noError(t, err)
	middle, err := Spawn(ctx, entryMiddleOfLast, w, nil)
	noError(t, err)
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

// TestUsedEndsMove moves ends that are tied to this process's completion port already.
func TestUsedEndsMove(t *testing.T) {
	for _, entry := range []*Entrypoint[lineArgs]{entryCopy, entryCopyDeeper} {
		t.Run(entry.Name(), func(t *testing.T) {
			ctx := testContext(t)
			in, toChild, fromChild, out := usedPipes(t, ctx)
			p, err := Spawn(ctx, entry, lineArgs{in, out}, nil)
			noError(t, err)
			for _, v := range []string{"a", "b"} {
				noError(t, toChild.Put(ctx, v))
				if got, err := fromChild.Get(ctx); got != v || err != nil {
					t.Fatal(got, err)
				}
			}
			noError(t, toChild.Close())
			if _, err := fromChild.Get(ctx); err != io.EOF {
				t.Error(err)
			}
			noError(t, p.Wait(ctx))
		})
	}
}

func usedPipes(t *testing.T, ctx context.Context) (*Reader[string], *Writer[string], *Reader[string], *Writer[string]) {
	t.Helper()
	r1, w1, err := Pipe[string](nil)
	noError(t, err)
	r2, w2, err := Pipe[string](nil)
	noError(t, err)
	for i, w := range []*Writer[string]{w1, w2} {
		noError(t, w.Put(ctx, "x"))
		_, err := []*Reader[string]{r1, r2}[i].Get(ctx)
		noError(t, err)
	}
	return r1, w1, r2, w2
}

func TestGetIsCancelledInTheChild(t *testing.T) {
	test := func(t *testing.T, used bool) {
		ctx := testContext(t)
		in, toChild, err := Pipe[string](nil)
		noError(t, err)
		fromChild, out, err := Pipe[string](nil)
		noError(t, err)
		if used {
			in, toChild, fromChild, out = usedPipes(t, ctx)
		}
		p, err := Spawn(ctx, entryGiveUp, lineArgs{in, out}, nil)
		noError(t, err)
		for range 3 {
			for _, want := range []string{"given up", "v"} {
				if got, err := fromChild.Get(ctx); got != want || err != nil {
					t.Fatal(got, err)
				}
				if want != "v" {
					noError(t, toChild.Put(ctx, "v"))
				}
			}
		}
		noError(t, p.Wait(ctx))
	}
	t.Run("new end", func(t *testing.T) { test(t, false) })
	t.Run("used end", func(t *testing.T) { test(t, true) })
}

func TestFailedSpawnLeavesUsedEndsAsTheyWere(t *testing.T) {
	ctx := testContext(t)
	in, toIn, fromOut, out := usedPipes(t, ctx)
	_, err := Spawn(ctx, entryCopy, lineArgs{in, out}, &SpawnOptions{Dir: `C:\no\such\directory`})
	if err == nil {
		t.Fatal("Spawn should fail")
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := in.Get(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for _, v := range []string{"a", "b"} {
		noError(t, toIn.Put(ctx, v))
		noError(t, out.Put(ctx, v))
		for _, r := range []*Reader[string]{in, fromOut} {
			if got, err := r.Get(ctx); got != v || err != nil {
				t.Fatal(got, err)
			}
		}
	}
}

// TestCancelledPutArrivesWhole cancels a write that waits for room, which is never taken back on Windows.
func TestCancelledPutArrivesWhole(t *testing.T) {
	ctx := testContext(t)
	r, w, err := Pipe[[]byte](nil)
	noError(t, err)
	message := make([]byte, 1<<20)
	message[len(message)-1] = 1
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := w.Put(short, message); !errors.Is(err, ErrPartial) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	clear(message) // it is ours again
	got, err := r.Get(ctx)
	noError(t, err)
	if len(got) != len(message) || got[len(got)-1] != 1 {
		t.Error("the message has changed")
	}
	noError(t, w.Close())
	if _, err := r.Get(ctx); err != io.EOF {
		t.Error(err)
	}
}

// messagePipe returns a pipe of messages, whose write end is synchronous: Wine passes zero bytes on in no other.
func messagePipe(t *testing.T) (r, w windows.Handle) {
	t.Helper()
	name, err := windows.UTF16PtrFromString(newPipeName())
	noError(t, err)
	r, err = windows.CreateNamedPipe(name, windows.PIPE_ACCESS_INBOUND|windows.FILE_FLAG_OVERLAPPED,
		windows.PIPE_TYPE_MESSAGE|windows.PIPE_READMODE_MESSAGE, 1, 1<<10, 1<<10, 0, nil)
	noError(t, err)
	w, err = windows.CreateFile(name, windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, 0, 0)
	noError(t, err)
	return r, w
}

func TestWriteOfZeroBytesIsNoEnd(t *testing.T) {
	ctx := testContext(t)
	r, w := messagePipe(t)
	reader, writer := NewReader[string](newPipeFile(r), nil), NewWriter[string](os.NewFile(uintptr(w), "pipe"), nil)
	defer reader.Close()
	for _, want := range []string{"a", "b"} {
		var n uint32
		noError(t, windows.WriteFile(w, nil, &n, nil))
		noError(t, writer.Put(ctx, want))
		if got, err := reader.Get(ctx); got != want || err != nil {
			t.Error(got, err)
		}
	}
	noError(t, windows.WriteFile(w, nil, new(uint32), nil))
	noError(t, writer.Close())
	if _, err := reader.Get(ctx); err != io.EOF {
		t.Error(err)
	}
}

var entryWriteNothing = Register("windows: write zero bytes to stdout", func(context.Context, struct{}) error {
	for range 10 {
		if err := windows.WriteFile(windows.Stdout, nil, new(uint32), nil); err != nil {
			return err
		}
	}
	_, err := os.Stdout.WriteString("text")
	return err
})

func TestWriteOfZeroBytesDoesNotEndOutput(t *testing.T) {
	ctx := testContext(t)
	var out strings.Builder
	run := func(t *testing.T, stdout io.Writer) {
		out.Reset()
		p, err := Spawn(ctx, entryWriteNothing, struct{}{}, &SpawnOptions{Stdout: stdout})
		noError(t, err)
		noError(t, p.Wait(ctx))
	}
	t.Run("Stdout", func(t *testing.T) {
		run(t, &out)
		if out.String() != "text" {
			t.Errorf("got %q", out.String())
		}
	})
	t.Run("as Wine shows it", func(t *testing.T) {
		r, w := messagePipe(t)
		stdout := os.NewFile(uintptr(w), "pipe")
		run(t, stdout)
		noError(t, stdout.Close())
		noError(t, feed{from: newPipeFile(r), to: &tail{w: &out}}.copyOut())
		if out.String() != "text" {
			t.Errorf("got %q", out.String())
		}
	})
}

func TestUnusedEndsAreCollected(t *testing.T) {
	before := handleCount(t)
	for range 500 {
		_, _, err := Pipe[int](nil)
		noError(t, err)
	}
	if n := handleCount(t); n < before+100 {
		t.Fatalf("%d handles before, %d after: the test proves nothing", before, n)
	}
	for range 100 {
		runtime.GC()
		if handleCount(t) < before+100 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d handles before, %d after", before, handleCount(t))
}

func TestPipeIsOursAlone(t *testing.T) {
	name := newPipeName()
	r, w, err := createPipe(name, 0, windows.FILE_FLAG_OVERLAPPED)
	noError(t, err)
	defer windows.CloseHandle(r)
	defer windows.CloseHandle(w)
	path, err := windows.UTF16PtrFromString(name)
	noError(t, err)
	_, err = windows.CreateFile(path, windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, 0, 0)
	if err == nil {
		t.Error("somebody else can connect")
	}
	if r, w, err := createPipe(name, 0, 0); err == nil {
		_, _ = windows.CloseHandle(r), windows.CloseHandle(w)
		t.Error("there can be another pipe of that name")
	}
}

func TestPipeIsTheUsersAlone(t *testing.T) {
	r, w, err := createPipe(newPipeName(), 0, 0)
	noError(t, err)
	defer windows.CloseHandle(r)
	defer windows.CloseHandle(w)
	sd, err := windows.GetSecurityInfo(r, windows.SE_KERNEL_OBJECT, windows.DACL_SECURITY_INFORMATION)
	noError(t, err)
	acl, _, err := sd.DACL()
	noError(t, err)
	if acl == nil || acl.AceCount != 1 {
		t.Fatalf("access list: %v", sd)
	}
	var ace *windows.ACCESS_ALLOWED_ACE
	noError(t, windows.GetAce(acl, 0, &ace))
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	noError(t, err)
	if sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart)); !sid.Equals(user.User.Sid) {
		t.Errorf("access for %v", sid)
	}
}

func TestFirstInstanceOnly(t *testing.T) {
	skipUnderWine(t, "it ignores FILE_FLAG_FIRST_PIPE_INSTANCE")
	name := newPipeName()
	path, err := windows.UTF16PtrFromString(name)
	noError(t, err)
	squatter, err := windows.CreateNamedPipe(path, windows.PIPE_ACCESS_DUPLEX, 0, windows.PIPE_UNLIMITED_INSTANCES, 0, 0, 0, nil)
	noError(t, err)
	defer windows.CloseHandle(squatter)
	if _, _, err := createPipe(name, 0, 0); !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		t.Errorf("got %v", err)
	}
}

func TestUnsupportedOnWindows(t *testing.T) {
	ctx := testContext(t)
	refused := func(what string, err error, advice string) {
		t.Helper()
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), advice) {
			t.Errorf("%s: %v", what, err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	noError(t, err)
	in := NewReader[string](conn, nil)
	defer in.Close()
	_, err = Spawn(ctx, entryCopy, lineArgs{In: in}, nil)
	refused("handing over a socket", err, "a socket")

	r, w, err := Pipe[string](nil)
	noError(t, err)
	_, err = Spawn(ctx, entryCopy, lineArgs{In: r}, &SpawnOptions{Command: func(cmd *exec.Cmd) {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.Stderr)
	}})
	refused("ExtraFiles", err, "SysProcAttr.AdditionalInheritedHandles")

	p, err := Spawn(ctx, entryCopy, lineArgs{In: r}, nil)
	noError(t, err)
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.Signal(0)} {
		refused("sending a signal", p.Signal(sig), "os.Kill")
	}
	noError(t, w.Close())
	noError(t, p.Wait(ctx))
}

// handleCount counts this process's handles.
func handleCount(t testing.TB) int {
	t.Helper()
	var n uint32
	proc := windows.NewLazySystemDLL("kernel32.dll").NewProc("GetProcessHandleCount")
	if ok, _, err := proc.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&n))); ok == 0 {
		t.Fatal(err)
	}
	if n == 0 { // Wine 8
		return listHandles(t)
	}
	return int(n)
}

// listHandles finds this process's handles among those of all.
func listHandles(t testing.TB) (n int) {
	t.Helper()
	type entry struct {
		object                  uintptr
		pid, handle             uintptr
		access                  uint32
		creator, typ            uint16
		attributes, unspecified uint32
	}
	const header = 2 * unsafe.Sizeof(uintptr(0))
	buf := make([]uintptr, 1<<20)
	size := uint32(len(buf)) * uint32(unsafe.Sizeof(buf[0]))
	err := windows.NtQuerySystemInformation(windows.SystemExtendedHandleInformation, unsafe.Pointer(&buf[0]), size, nil)
	noError(t, err)
	for _, e := range unsafe.Slice((*entry)(unsafe.Add(unsafe.Pointer(&buf[0]), header)), buf[0]) {
		if e.pid == uintptr(os.Getpid()) {
			n++
		}
	}
	return n
}

func TestNoHandleIsLeaked(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cycles := 1000
	if testing.Short() {
		cycles = 40
	}
	run := func(cycles int) {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(4)
		for i := range cycles {
			g.Go(func() error { return spawnCycle(ctx, i%3 == 0) })
		}
		noError(t, g.Wait())
	}
	run(20)
	before := handleCount(t)
	start := time.Now()
	run(cycles)
	after := handleCount(t)
	t.Logf("%d handles, after %d cycles %d; %v a cycle", before, cycles, after, time.Since(start)/time.Duration(cycles))
	if after > before+20 { // Go starts threads, which have some
		t.Errorf("%d handles, after %d cycles %d", before, cycles, after)
	}
}

// spawnCycle is a child's life from beginning to end, or up to its being killed.
func spawnCycle(ctx context.Context, kill bool) error {
	r, w, err := Pipe[string](nil)
	if err != nil {
		return err
	}
	back, out, err := Pipe[string](nil)
	if err != nil {
		return err
	}
	p, err := Spawn(ctx, entryCopy, lineArgs{r, out}, nil)
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "v"); err != nil {
		return err
	}
	if _, err := back.Get(ctx); err != nil {
		return err
	}
	if kill {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	errClose := w.Close()
	errWait := p.Wait(ctx)
	if kill {
		errWait = nil
	}
	return errors.Join(errClose, errWait, back.Close())
}
