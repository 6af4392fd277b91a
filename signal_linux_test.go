package gipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// ignoredSignals reads from the text of /proc/self/status which signals a process ignores.
func ignoredSignals(t *testing.T, status string) (ignored []syscall.Signal) {
	t.Helper()
	_, after, found := strings.Cut(status, "\nSigIgn:\t")
	line, _, _ := strings.Cut(after, "\n")
	mask, err := strconv.ParseUint(line, 16, 64)
	if !found || err != nil {
		t.Fatalf("no mask in %q", status)
	}
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if mask&(1<<(sig-1)) != 0 {
			ignored = append(ignored, sig)
		}
	}
	return ignored
}

func init() {
	// Ignores many signals and catches one, and then starts a child that says what became of them.
	addDeed("ignore signals", func(ctx context.Context, a deedArgs) error {
		signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGUSR1, syscall.SIGWINCH)
		signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR2, syscall.SIGTERM)
		p, err := Spawn(ctx, entryDeed, deedArgs{Do: a.Text, Out: a.Out}, nil)
		if err != nil {
			return err
		}
		return p.Wait(ctx)
	})
	addDeed("await signals", func(ctx context.Context, a deedArgs) error {
		got := make(chan os.Signal, 1)
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1} {
			if signal.Ignored(sig) {
				return fmt.Errorf("%v counts as ignored", sig)
			}
			signal.Notify(got, sig)
			if err := syscall.Kill(os.Getpid(), sig); err != nil {
				return err
			}
			select {
			case <-got:
			case <-ctx.Done():
				return fmt.Errorf("%v does not arrive", sig)
			}
			signal.Reset(sig)
		}
		return a.Out.Put(ctx, "all arrived")
	})
}

func TestChildStartsWithDefaultDispositions(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "ignore signals", Text: "status", Out: w}, nil)
	for _, sig := range ignoredSignals(t, get(t, ctx, r)) {
		libc := sig == 32 || sig == 33 // glibc's posix_spawn ignores them in what it starts, and qemu keeps them for itself
		if sig != syscall.SIGPIPE && !(libc && test.UnderQEMU()) {
			t.Errorf("the child ignores %v", sig)
		}
	}
	test.Check(t, p.Wait(ctx))
}

// deadly signals are those that end a Go program which does nothing about them.
var deadly = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}

func TestHandlersOfTheParentAreNotActiveInTheChild(t *testing.T) {
	ctx := test.Context(t)
	for _, sig := range deadly {
		r, w := stringPipe(t)
		p := spawnIt(t, entryDeed, deedArgs{Do: "ignore signals", Text: "signal itself " + sig.String(), Out: w}, nil)
		var e *ExitError
		if err := p.Wait(ctx); !errors.As(err, &e) || !strings.Contains(err.Error(), fmt.Sprintf("signal %d", sig)) {
			t.Errorf("%v: %v", sig, err)
		}
		_ = r.Close()
	}
}

func init() {
	for _, sig := range deadly {
		addDeed("signal itself "+sig.String(), func(context.Context, deedArgs) error {
			if err := syscall.Kill(os.Getpid(), sig); err != nil {
				return err
			}
			select {}
		})
	}
}

func TestChildCanCatchWhatItsParentIgnored(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "ignore signals", Text: "await signals", Out: w}, nil)
	if err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if got := get(t, ctx, r); got != "all arrived" {
		t.Error(got)
	}
}

// Ctrl-C goes to the whole foreground group: the parent's, in which the child is not.
func TestCtrlCDoesNotReachTheChild(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "interrupted", Out: w}, nil)
	if got := get(t, ctx, r); got != "up" {
		t.Fatal(got)
	}
	test.Check(t, syscall.Kill(-p.PID(), syscall.SIGINT)) // its group, with all that belong to it
	if got := get(t, ctx, r); got != "the child lives" {
		t.Error(got)
	}
	test.Check(t, p.Wait(ctx))
}

func init() {
	addDeed("interrupted", func(ctx context.Context, a deedArgs) error {
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGINT)
		mine, theirs, err := NewDuplex[string, string](nil, nil)
		if err != nil {
			return err
		}
		p, err := Spawn(ctx, entryDeed, deedArgs{Do: "echo", Talk: theirs}, nil)
		if err != nil {
			return err
		}
		member := exec.Command("sleep", "1000") // an ordinary child is in our group
		if err := member.Start(); err != nil {
			return err
		}
		if err := a.Out.Put(ctx, "up"); err != nil {
			return err
		}
		<-got
		if err := member.Wait(); err == nil {
			return errors.New("the ordinary child was not interrupted")
		}
		if err := mine.Put(ctx, "the child lives"); err != nil {
			return err
		}
		v, err := mine.Get(ctx)
		return errors.Join(err, a.Out.Put(ctx, v), mine.Close(), p.Wait(ctx))
	})
}
