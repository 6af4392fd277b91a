package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

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

// TestUsedEndsMove moves ends that are tied to this process's completion port already.
func TestUsedEndsMove(t *testing.T) {
	for _, entry := range []*Entrypoint[lineArgs]{entryCopy, entryCopyDeeper} {
		t.Run(entry.Name(), func(t *testing.T) {
			ctx := test.Context(t)
			in, toChild, fromChild, out := usedPipes(t, ctx)
			p, err := Spawn(ctx, entry, lineArgs{in, out}, nil)
			test.Check(t, err)
			for _, v := range []string{"a", "b"} {
				test.Check(t, toChild.Put(ctx, v))
				if got, err := fromChild.Get(ctx); got != v || err != nil {
					t.Fatal(got, err)
				}
			}
			test.Check(t, toChild.Close())
			if _, err := fromChild.Get(ctx); err != io.EOF {
				t.Error(err)
			}
			test.Check(t, p.Wait(ctx))
		})
	}
}

func usedPipes(t *testing.T, ctx context.Context) (*Reader[string], *Writer[string], *Reader[string], *Writer[string]) {
	t.Helper()
	r1, w1, err := Pipe[string](nil)
	test.Check(t, err)
	r2, w2, err := Pipe[string](nil)
	test.Check(t, err)
	for i, w := range []*Writer[string]{w1, w2} {
		test.Check(t, w.Put(ctx, "x"))
		_, err := []*Reader[string]{r1, r2}[i].Get(ctx)
		test.Check(t, err)
	}
	return r1, w1, r2, w2
}

func TestGetIsCancelledInTheChild(t *testing.T) {
	cancelled := func(t *testing.T, used bool) {
		ctx := test.Context(t)
		in, toChild, err := Pipe[string](nil)
		test.Check(t, err)
		fromChild, out, err := Pipe[string](nil)
		test.Check(t, err)
		if used {
			in, toChild, fromChild, out = usedPipes(t, ctx)
		}
		p, err := Spawn(ctx, entryGiveUp, lineArgs{in, out}, nil)
		test.Check(t, err)
		for range 3 {
			for _, want := range []string{"given up", "v"} {
				if got, err := fromChild.Get(ctx); got != want || err != nil {
					t.Fatal(got, err)
				}
				if want != "v" {
					test.Check(t, toChild.Put(ctx, "v"))
				}
			}
		}
		test.Check(t, p.Wait(ctx))
	}
	t.Run("new end", func(t *testing.T) { cancelled(t, false) })
	t.Run("used end", func(t *testing.T) { cancelled(t, true) })
}

func TestFailedSpawnLeavesUsedEndsAsTheyWere(t *testing.T) {
	ctx := test.Context(t)
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
		test.Check(t, toIn.Put(ctx, v))
		test.Check(t, out.Put(ctx, v))
		for _, r := range []*Reader[string]{in, fromOut} {
			if got, err := r.Get(ctx); got != v || err != nil {
				t.Fatal(got, err)
			}
		}
	}
}

// TestCancelledPutArrivesWhole cancels a write that waits for room, which is never taken back on Windows.
func TestCancelledPutArrivesWhole(t *testing.T) {
	ctx := test.Context(t)
	r, w, err := Pipe[[]byte](nil)
	test.Check(t, err)
	message := make([]byte, 1<<20)
	message[len(message)-1] = 1
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := w.Put(short, message); !errors.Is(err, ErrPartial) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	clear(message) // it is ours again
	got, err := r.Get(ctx)
	test.Check(t, err)
	if len(got) != len(message) || got[len(got)-1] != 1 {
		t.Error("the message has changed")
	}
	test.Check(t, w.Close())
	if _, err := r.Get(ctx); err != io.EOF {
		t.Error(err)
	}
}

func TestWriteOfZeroBytesIsNoEnd(t *testing.T) {
	ctx := test.Context(t)
	r, w := test.MessagePipe(t)
	reader, writer := NewReader[string](fd.OpenEnd(uintptr(r), true), nil), NewWriter[string](os.NewFile(uintptr(w), "pipe"), nil)
	defer reader.Close()
	for _, want := range []string{"a", "b"} {
		var n uint32
		test.Check(t, windows.WriteFile(w, nil, &n, nil))
		test.Check(t, writer.Put(ctx, want))
		if got, err := reader.Get(ctx); got != want || err != nil {
			t.Error(got, err)
		}
	}
	test.Check(t, windows.WriteFile(w, nil, new(uint32), nil))
	test.Check(t, writer.Close())
	if _, err := reader.Get(ctx); err != io.EOF {
		t.Error(err)
	}
}

var entryWriteHandle = Register("windows: write to a handle", func(_ context.Context, handle uint64) error {
	_, err := windows.Write(windows.Handle(handle), []byte("written"))
	return err
})

func TestHandleAppendedByCommandStaysInheritable(t *testing.T) {
	ctx := test.Context(t)
	file, pipe, err := fd.NewOutputPipe()
	test.Check(t, err)
	defer file.Close()
	defer pipe.Close()
	w := windows.Handle(pipe.Fd())
	test.Check(t, windows.SetHandleInformation(w, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT))
	p, err := Spawn(ctx, entryWriteHandle, uint64(w), &SpawnOptions{Command: func(cmd *exec.Cmd) {
		a := cmd.SysProcAttr
		a.AdditionalInheritedHandles = append(a.AdditionalInheritedHandles, syscall.Handle(w))
	}})
	test.Check(t, err)
	test.Check(t, p.Wait(ctx))
	got := make([]byte, len("written"))
	if _, err := io.ReadFull(file, got); err != nil || string(got) != "written" {
		t.Errorf("got %q, %v", got, err)
	}
	if !test.IsInheritable(t, w) {
		t.Error("it isn't inheritable any more")
	}
}

func TestUnsupportedOnWindows(t *testing.T) {
	ctx := test.Context(t)
	refused := func(what string, err error, advice string) {
		t.Helper()
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), advice) {
			t.Errorf("%s: %v", what, err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	test.Check(t, err)
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	test.Check(t, err)
	in := NewReader[string](conn, nil)
	defer in.Close()
	_, err = Spawn(ctx, entryCopy, lineArgs{In: in}, nil)
	refused("handing over a socket", err, "a socket")

	r, w, err := Pipe[string](nil)
	test.Check(t, err)
	_, err = Spawn(ctx, entryCopy, lineArgs{In: r}, &SpawnOptions{Command: func(cmd *exec.Cmd) {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.Stderr)
	}})
	refused("ExtraFiles", err, "SysProcAttr.AdditionalInheritedHandles")

	p, err := Spawn(ctx, entryCopy, lineArgs{In: r}, nil)
	test.Check(t, err)
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.Signal(0)} {
		refused("sending a signal", p.Signal(sig), "os.Kill")
	}
	test.Check(t, w.Close())
	test.Check(t, p.Wait(ctx))
}

func init() {
	// Fails if programs that it starts would inherit what it has from its parent.
	addDeed("check handles", func(_ context.Context, a deedArgs) error {
		for _, number := range []int{fd.Number(a.Out.out.Stream()), fd.Number(a.File)} {
			switch inheritable, err := test.Inheritable(windows.Handle(number)); {
			case err != nil:
				return err
			case inheritable:
				return fmt.Errorf("handle %d can be inherited", number)
			}
		}
		return nil
	})
}

func TestPassedHandlesAreNotInheritable(t *testing.T) {
	ctx := test.Context(t)
	_, w := stringPipe(t)
	file, fileW, err := os.Pipe()
	test.Check(t, err)
	defer file.Close()
	test.Check(t, spawnIt(t, entryDeed, deedArgs{Do: "check handles", Out: w, File: fileW}, nil).Wait(ctx))
}
