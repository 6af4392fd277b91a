//go:build unix

package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/test"
)

// Moments at which a child, or its parent, may end, and what follows from each.

func init() {
	addDeed("die amid a report", func(ctx context.Context, _ deedArgs) error {
		if _, err := unix.Write(hostileReports, append(appendHeader(nil, 1000), "the beginning"...)); err != nil {
			return err
		}
		return killSelf(ctx)
	})
	hostileInits["hostile silence"] = func() error {
		if err := unix.Close(hostileReports); err != nil {
			return err
		}
		select {}
	}
	hostileInits["ready, and gone"] = func() error {
		inheritance.tell(report{Ready: true})
		os.Exit(0)
		return nil
	}
}

// A report that a kill has cut is no breach of the protocol.
func TestKillAmidAReportIsNoMoreThanAKill(t *testing.T) {
	ctx := test.Context(t)
	err := spawnIt(t, entryDeed, deedArgs{Do: "die amid a report"}, nil).Wait(ctx)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Signal != syscall.SIGKILL || exit.Err != nil {
		t.Error(err)
	}
}

// A child that closes its control channel and lives on would never be stopped.
func TestChildThatClosesItsControlChannelIsKilled(t *testing.T) {
	ctx := test.Context(t)
	file, fileW, err := fd.NewOutputPipe()
	test.Check(t, err)
	defer file.Close()
	_, err = Spawn(ctx, entryDeed, deedArgs{Do: "nothing"}, &SpawnOptions{Env: withInit("hostile silence"), Stderr: fileW})
	test.Is(t, err, ErrNotReady)
	test.Check(t, fileW.Close())
	test.Check(t, file.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := io.Copy(io.Discard, file); err != nil {
		t.Errorf("it lives: %v", err)
	}
}

// Spawn doesn't wait for its timeout where the child ends while it is still being told.
func TestSpawnOfAChildThatEndsWhileItIsToldFailsAtOnce(t *testing.T) {
	ctx := test.Context(t)
	_, w := stringPipe(t)
	began := time.Now()
	_, err := Spawn(ctx, entryDeed, deedArgs{Text: strings.Repeat("x", 1<<20), Out: w}, &SpawnOptions{
		Command: func(cmd *exec.Cmd) { holdOrders(t, cmd) }, StartTimeout: 20 * time.Second,
	})
	test.Is(t, err, ErrNotReady)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// holdOrders makes a command end at once, while another process holds what it has of the pipe for orders, so that no write into
// that fails.
func holdOrders(t *testing.T, cmd *exec.Cmd) {
	orders, err := test.DupFile(cmd.ExtraFiles[0])
	test.Check(t, err)
	t.Cleanup(func() { orders.Close() })
	otherProgram(cmd)
}

// The reason for a kill that comes behind the child's end is no part of how it ended.
func TestKillBehindTheEndLeavesNoReason(t *testing.T) {
	ctx := test.Context(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "nothing"}, nil)
	<-p.child.Exited()
	test.Is(t, p.KillCause(errors.New("too late")), os.ErrProcessDone)
	test.Check(t, p.Wait(ctx))
	if p.reason != nil {
		t.Errorf("reason: %v", p.reason)
	}
}

// A process that is still alive has no exit code, also where it has been reaped and what serves it has not ended.
func TestExitCodeIsKnownWithTheEndAndNotBefore(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "grandchild", Text: "exit 3", Out: w}, &SpawnOptions{Stderr: new(strings.Builder)})
	endWithTest(t, get(t, ctx, r)) // it holds stderr
	<-p.child.Exited()
	if code, exited := p.ExitCode(); p.Alive() && (exited || code != 0) {
		t.Errorf("code %d though it is alive", code)
	}
	<-p.Done()
	code, exited := p.ExitCode()
	test.Equal(t, code, 3)
	test.Equal(t, exited, true)
}

// What a child has taken over is not inherited by programs that it starts.
func TestPassedDescriptorsAreCloseOnExec(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	file, fileW, err := os.Pipe()
	test.Check(t, err)
	defer file.Close()
	p := spawnIt(t, entryDeed, deedArgs{Do: "descriptors", N: 5, Out: w, File: fileW}, nil)
	test.Equal(t, get(t, ctx, r), "[]")
	test.Check(t, p.Wait(ctx))
}

func init() {
	// Names those of the N descriptors from its parent that a program which it starts would inherit.
	addDeed("descriptors", func(ctx context.Context, a deedArgs) error {
		var inherited []uintptr
		for n := uintptr(3); n < uintptr(3+a.N); n++ {
			if flags, err := unix.FcntlInt(n, unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
				inherited = append(inherited, n)
			}
		}
		return a.Out.Put(ctx, fmt.Sprint(inherited))
	})
}

// What the entrypoint has left behind is told to stop before gipc waits for its readers.
func TestCtxEndsBeforeTheQueueIsSent(t *testing.T) {
	ctx := test.Context(t)
	file, fileW, err := fd.NewOutputPipe()
	test.Check(t, err)
	defer file.Close()
	_, w := pipeOf[string](t, &Options[string]{Buffer: 1 << 20, PipeSize: 64 << 10}) // nobody reads
	p := spawnIt(t, entryDeed, deedArgs{Do: "leave a goroutine", Out: w}, &SpawnOptions{Grace: 400 * time.Millisecond, Stderr: fileW})
	test.Check(t, fileW.Close())
	said := make([]byte, len("its ctx has ended"))
	test.Check(t, file.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = io.ReadFull(file, said)
	test.Check(t, err)
	test.Equal(t, string(said), "its ctx has ended")
	_ = p.Stop(ctx) // it says that messages were lost
}

func init() {
	addDeed("leave a goroutine", func(ctx context.Context, a deedArgs) error {
		go func() {
			<-ctx.Done()
			fmt.Fprint(os.Stderr, "its ctx has ended")
		}()
		for range 100 {
			if err := a.Out.Put(ctx, strings.Repeat("x", 5000)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Only while its arguments are decoded may a child make ends of what it decodes.
func TestEndsAreMadeOfArgumentsAlone(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "decode an end", Out: w}, nil)
	test.Equal(t, get(t, ctx, r), errInMessage.Error())
	test.Check(t, p.Wait(ctx))
}

func init() {
	addDeed("decode an end", func(ctx context.Context, a deedArgs) error {
		return a.Out.Put(ctx, decodeEnd().Error())
	})
}

// A descriptor that was made for a child is closed once: its number may be another file's at the second time.
func TestDescriptorsForTheChildAreReleasedOnce(t *testing.T) {
	_, w := stringPipe(t)
	h, err := beginHandover(t.Context(), w)
	test.Check(t, err)
	test.Equal(t, len(h.fds), descriptorsOfAnEnd())
	h.release()
	test.Equal(t, len(h.fds), 0)
	h.abandon()
	test.Check(t, w.Close())
}

// An orphan's Spawns are stopped, and its ctx ends, at the beginning of its grace.
func TestOrphanKnowsAtTheBeginningOfItsGrace(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "parent of a witness", Out: w}, nil)
	test.Equal(t, get(t, ctx, r), "up")
	test.Check(t, p.Signal(os.Kill))
	began := time.Now()
	test.Equal(t, get(t, ctx, r), "orphaned")
	test.Equal(t, get(t, ctx, r), proc.ErrParentGone.Error())
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func init() {
	addDeed("parent of a witness", func(ctx context.Context, a deedArgs) error {
		if _, err := Spawn(ctx, entryDeed, deedArgs{Do: "witness", Out: a.Out}, &SpawnOptions{Grace: 30 * time.Second}); err != nil {
			return err
		}
		select {}
	})
	addDeed("witness", func(ctx context.Context, a deedArgs) error {
		if err := a.Out.Put(ctx, "up"); err != nil {
			return err
		}
		<-proc.Parent.Done()
		if err := a.Out.Put(context.Background(), "orphaned"); err != nil {
			return err
		}
		<-ctx.Done()
		return a.Out.Put(context.Background(), context.Cause(ctx).Error())
	})
}
