package gipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	// Starts a process that leaves the group, and one in a cgroup below its own.
	addDeed("leave some behind", func(ctx context.Context, a deedArgs) error {
		own, err := a.In.Get(ctx)
		if err != nil {
			return err
		}
		away := test.Stranger()
		away.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		below := test.Stranger()
		deeper := filepath.Join(own, "deeper")
		if err := errors.Join(away.Start(), below.Start(), os.Mkdir(deeper, 0o700)); err != nil {
			return err
		}
		pid := fmt.Sprint(below.Process.Pid)
		if err := os.WriteFile(filepath.Join(deeper, "cgroup.procs"), []byte(pid), 0); err != nil {
			return err
		}
		return a.Out.Put(ctx, fmt.Sprint(away.Process.Pid, " ", pid))
	})
	addDeed("need threads", func(context.Context, deedArgs) error {
		for range 1000 {
			go func() { _, _ = syscall.Read(int(neverReadable().Fd()), make([]byte, 1)) }()
		}
		select {}
	})
}

// neverReadable returns the reading end of a pipe that blocks.
func neverReadable() *os.File {
	var p [2]int
	if err := syscall.Pipe(p[:]); err != nil {
		panic(err)
	}
	return os.NewFile(uintptr(p[0]), "")
}

// ownCgroup is the path of a process's cgroup of version 2.
func ownCgroup(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	test.Check(t, err)
	_, path, _ := strings.Cut("\n"+string(text), "\n0::")
	path, _, _ = strings.Cut(path, "\n")
	return path
}

func onlyChild(t *testing.T, dir string) string {
	t.Helper()
	children, err := filepath.Glob(filepath.Join(dir, "gipc-*"))
	test.Check(t, err)
	if len(children) != 1 {
		t.Fatalf("cgroups: %v", children)
	}
	return children[0]
}

func TestCgroupHoldsTheChildAndItsDescendantsAlone(t *testing.T) {
	test.SkipUnderQEMU(t, "it can't start a process in a cgroup")
	dir := test.Cgroup(t)
	before, descriptors := ownCgroup(t, os.Getpid()), test.OpenDescriptors(t)
	opts := SpawnOptions{Limits: &Limits{Cgroup: dir}}
	got := answer(t, deedArgs{Do: "ask a shell", Text: "grep ^0:: /proc/$PPID/cgroup /proc/$$/cgroup | cut -d: -f2-"}, opts)
	places := strings.Fields(got)
	if len(places) != 3 || places[0] != places[1] || !strings.Contains(places[0], filepath.Base(dir)+"/gipc-") {
		t.Errorf("the child and a grandchild are in %s", got)
	}
	test.Equal(t, ownCgroup(t, os.Getpid()), before)
	test.Equal(t, test.OpenDescriptors(t), descriptors+descriptorsOfAnEnd()) // of the channel that brought the answer
}

// The cgroup can't be removed while there is a process in it.
func TestCgroupEndsWithItsChild(t *testing.T) {
	test.SkipUnderQEMU(t, "it can't start a process in a cgroup")
	for _, how := range []string{"return", "Kill"} {
		t.Run(how, func(t *testing.T) {
			ctx := test.Context(t)
			dir := test.Cgroup(t)
			r, w := stringPipe(t)
			in, order := stringPipe(t)
			talk := deedArgs{Do: "await order", In: in}
			if how == "return" {
				talk = deedArgs{Do: "leave some behind", In: in, Out: w}
			}
			p := spawnIt(t, entryDeed, talk, &SpawnOptions{Limits: &Limits{Cgroup: dir}})
			own := onlyChild(t, dir)
			if how == "Kill" {
				test.Check(t, p.Kill())
				<-p.Done()
			} else {
				test.Check(t, order.Put(ctx, own))
				var away, below int
				_, err := fmt.Sscan(get(t, ctx, r), &away, &below)
				test.Check(t, err)
				test.Check(t, p.Wait(ctx))
				for _, pid := range []int{away, below} {
					test.Eventually(t, "the process that was left behind is gone", func() bool { return gone(pid) })
				}
			}
			if _, err := os.Stat(own); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the cgroup is there: %v", err)
			}
		})
	}
}

// gone says whether a process has ended. Its number may still be there, until it is reaped by whoever has inherited it.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestCgroupIsRemovedWhenSpawnFails(t *testing.T) {
	dir := test.Cgroup(t)
	limits := &Limits{Cgroup: dir}
	for name, opts := range map[string]*SpawnOptions{
		"no program":       {Limits: limits, Command: func(cmd *exec.Cmd) { cmd.Path = "/nowhere" }},
		"another program":  {Limits: limits, Command: otherProgram},
		"start timeout":    {Limits: limits, Command: deafen, StartTimeout: 50 * time.Millisecond},
		"two cgroups":      {Limits: limits, Command: func(cmd *exec.Cmd) { cmd.SysProcAttr.CgroupFD = 0 }},
		"panic in Command": {Limits: limits, Command: func(*exec.Cmd) { panic("oops") }},
	} {
		func() {
			defer func() { _ = recover() }() // the last one's
			if _, err := Spawn(test.Context(t), entryDeed, deedArgs{Do: "nothing"}, opts); err == nil {
				t.Errorf("%s: no error", name)
			}
		}()
		left, err := filepath.Glob(filepath.Join(dir, "gipc-*"))
		test.Check(t, err)
		if len(left) > 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

func TestCgroupMemory(t *testing.T) {
	skipUnderRaceDetector(t)
	dir := test.Cgroup(t, "memory")
	opts := SpawnOptions{Limits: &Limits{Memory: 64 << 20, Cgroup: dir}}
	wantLimit(t, limited(t, deedArgs{Do: "become a shell", Text: "exec tail /dev/zero"}, opts), "memory", "Memory", os.Kill)
	wantLimit(t, limited(t, deedArgs{Do: "eat memory", N: 1 << 20}, opts), "memory", "Memory", os.Kill)

	got := answer(t, deedArgs{Do: "eat memory", N: 48}, opts)
	test.Equal(t, got, fmt.Sprint("48 MiB, soft limit ", 64<<20/10*9+3))
	got = answer(t, deedArgs{Do: "ask a shell", Text: "tail /dev/zero"}, opts)
	if !strings.Contains(strings.ToLower(got), "killed") { // and the child lives on
		t.Error(got)
	}
	p := upChild(t, test.Context(t), "ignore ctx", &opts)
	test.Check(t, p.Kill())
	var e *ExitError
	if err := p.Wait(test.Context(t)); !errors.As(err, &e) || e.Limit != "" || e.Signal != os.Kill {
		t.Error(err)
	}
}

func TestCgroupProcesses(t *testing.T) {
	dir := test.Cgroup(t, "pids")
	opts := SpawnOptions{Stderr: new(strings.Builder), Limits: &Limits{Processes: 40, Cgroup: dir}}
	wantLimit(t, limited(t, deedArgs{Do: "need threads"}, opts), "processes", "Processes", nil)
	got := answer(t, deedArgs{Do: "ask a shell", Text: "for i in $(seq 50); do sleep 100 >/dev/null 2>&1 & done"}, opts)
	if !strings.Contains(strings.ToLower(got), "fork") {
		t.Error(got)
	}
}

// A controller that isn't delegated, or a cgroup with processes, is an error that says what to do.
func TestCgroupThatCannotHold(t *testing.T) {
	dir := test.Cgroup(t)
	if enabled, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers")); err != nil || strings.Contains(string(enabled), "memory") {
		t.Skipf("the controller is there: %q, %v", enabled, err)
	}
	_, err := Spawn(test.Context(t), entryDeed, deedArgs{Do: "nothing"}, &SpawnOptions{Limits: &Limits{Cgroup: dir, Memory: 1 << 30}})
	test.Is(t, err, errors.ErrUnsupported)
	if !strings.Contains(err.Error(), "not delegated") {
		t.Error(err)
	}
}
