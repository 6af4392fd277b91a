//go:build unix

package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func TestSignalsFromOutsideAreToldApart(t *testing.T) {
	ctx := test.Context(t)
	for sig, crashes := range map[syscall.Signal]bool{
		syscall.SIGKILL: false, syscall.SIGTERM: false, syscall.SIGINT: false, syscall.SIGHUP: false,
		syscall.SIGABRT: true, syscall.SIGSEGV: true, syscall.SIGQUIT: true, // Go's runtime reports these itself
	} {
		t.Run(sig.String(), func(t *testing.T) {
			p := upChild(t, ctx, "ignore ctx", &SpawnOptions{Stderr: new(bytes.Buffer)})
			test.Check(t, p.Signal(sig))
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
	ctx := test.Context(t)
	p := upChild(t, ctx, "catch SIGTERM", &SpawnOptions{Grace: 2 * time.Second})
	if err := p.Stop(ctx); err == nil || !bytes.Contains([]byte(err.Error()), []byte("caught terminated")) {
		t.Error(err)
	}
}

func TestStopEndsASuspendedChild(t *testing.T) {
	ctx := test.Context(t)
	p := upChild(t, ctx, "await ctx", &SpawnOptions{Grace: 50 * time.Millisecond})
	suspend(t, p)
	err := p.Stop(ctx)
	var e *ExitError
	if !errors.As(err, &e) || e.Signal != syscall.SIGKILL {
		t.Error(err)
	}
}

// Its group goes on without it when a leader leaves it: killing the group isn't killing the child.
func TestKillEndsALeaderThatLeftItsGroup(t *testing.T) {
	ctx := test.Context(t)
	test.Check(t, upChild(t, ctx, "leave group", nil).Kill())
	p := upChild(t, ctx, "leave group", &SpawnOptions{Grace: time.Hour})
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	err := p.Stop(soon)
	var e *ExitError
	if !errors.As(err, &e) || e.Signal != syscall.SIGKILL {
		t.Error(err)
	}
}

// suspend stops a child and waits until it stands still: until then its other threads go on, and may even end it.
func suspend(t testing.TB, p *Process) {
	t.Helper()
	test.Check(t, p.Signal(syscall.SIGSTOP))
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.PID(), &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("not stopped: %v, status %#x", err, status)
	}
}

func TestExitCodeIsUnknownWhereTheSystemReaps(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "ignore SIGCHLD", Out: w}, nil)
	for range 3 {
		if got := get(t, ctx, r); got != "true 0 false false" {
			t.Errorf("got %q", got)
		}
	}
	if got := get(t, ctx, r); got != "0 more descriptors" {
		t.Error(got)
	}
	test.Check(t, p.Wait(ctx))
}

func TestProcessIsNamed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the name is that of the program's file")
	}
	ctx := test.Context(t)
	for name, want := range map[string]string{"": "deed", "ein Würfelbecher": "ein Würfelbech", "fourteen bytesé": "fourteen bytes"} {
		p := upChild(t, ctx, "ignore ctx", &SpawnOptions{Name: name})
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.PID()))
		test.Check(t, err)
		test.Equal(t, strings.TrimSuffix(string(comm), "\n"), want)
	}
}

// Terminate is no reason for an end that came by something else.
func TestTerminateIsNotBlamedForAnotherSignal(t *testing.T) {
	ctx := test.Context(t)
	for deed, signals := range map[string][]func(*Process) error{
		"ignore SIGTERM": {(*Process).Terminate, func(p *Process) error { return p.Signal(syscall.SIGKILL) }},
		"ignore ctx":     {func(p *Process) error { return p.Signal(syscall.SIGTERM) }},
	} {
		p := upChild(t, ctx, deed, nil)
		for _, end := range signals {
			test.Check(t, end(p))
		}
		var e *ExitError
		if err := p.Wait(ctx); !errors.As(err, &e) || e.Signal == nil || e.Err != nil {
			t.Errorf("%s: %v", deed, err)
		}
	}
}
