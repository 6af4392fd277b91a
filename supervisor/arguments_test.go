package supervisor

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// Each incarnation gets arguments of its own, and a ctx that ends with it and tells why.
func TestSupervisedFreshArguments(t *testing.T) {
	s, log := superviseIt(t, Options{Backoff: Backoff{Min: 1, Max: 1}})
	type life struct {
		ctx  context.Context
		say  *gipc.Writer[string]
		hear *gipc.Reader[string]
	}
	lives := make(chan life, 10)
	test.Check(t, s.Start(Child(entryDeed, func(ctx context.Context) (deedArgs, error) {
		r, w := stringPipe(t)
		heard, up := stringPipe(t)
		lives <- life{ctx, w, heard}
		return deedArgs{Do: "await order", In: r, Out: up}, nil
	}, nil)))
	ctx := test.Context(t)
	for i := range 3 {
		l := <-lives
		if got := get(t, ctx, l.hear); got != "up" {
			t.Fatal(got)
		}
		if l.ctx.Err() != nil {
			t.Error("the ctx has ended before the child")
		}
		test.Check(t, l.say.Put(ctx, "panic"))
		e := log.awaitKind(t, EventExited, "deed", i+1)
		<-l.ctx.Done()
		var exit *gipc.ExitError
		if !errors.As(context.Cause(l.ctx), &exit) || exit.Panic != "boom" || e.Err != error(exit) {
			t.Errorf("the cause is %v, the event %v", context.Cause(l.ctx), e)
		}
	}
	l := <-lives
	_ = get(t, ctx, l.hear)
	test.Check(t, s.Stop(ctx))
	if !errors.Is(context.Cause(l.ctx), errSupervisorStopped) {
		t.Errorf("the last cause is %v", context.Cause(l.ctx))
	}
}

// A start that fails is a failure like any other, and leaves no end open.
func TestSupervisedStartFails(t *testing.T) {
	fds := test.OpenDescriptors(t)
	why := errors.New("no input")
	s, log := superviseIt(t, Options{MaxRestarts: 2, Backoff: Backoff{Min: 1, Max: 1}})
	test.Check(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) { return deedArgs{}, why }, nil)))
	if err := s.Wait(); !errors.Is(err, why) || log.count(EventStarting) != 3 || log.count(EventReady) != 0 {
		t.Errorf("Wait is %v after %d starts", err, log.count(EventStarting))
	}

	s, log = superviseIt(t, Options{MaxRestarts: 2, Backoff: Backoff{Min: 1, Max: 1}})
	var mine []*gipc.Duplex[string, string]
	test.Check(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		here, there, err := gipc.NewDuplex[string, string](nil, nil)
		mine = append(mine, here)
		_, rest, err2 := os.Pipe()
		return deedArgs{Talk: there, File: rest}, errors.Join(err, err2)
	}, &ChildOptions{Spawn: &gipc.SpawnOptions{Dir: filepath.Join(t.TempDir(), "missing")}})))
	var noDir *os.PathError
	if err := s.Wait(); !errors.As(err, &noDir) || log.count(EventStarting) != 3 {
		t.Errorf("Wait is %v after %d starts", err, log.count(EventStarting))
	}
	for _, d := range mine {
		if _, err := d.Get(test.Context(t)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the other end of what was not handed over: %v", err)
		}
		test.Check(t, d.CloseNow())
	}
	runtime.GC() // the reading ends of os.Pipe above
	noMoreThan(t, "descriptors", fds, func() int { runtime.GC(); return test.OpenDescriptors(t) })
}

// All ends are closed, wherever they are, also in arguments that can't be handed over.
func TestSupervisorClosesTheEndsOfArgumentsThatCantMove(t *testing.T) {
	ctx := test.Context(t)
	s, _ := superviseIt(t, Options{MaxRestarts: 1, Backoff: Backoff{Min: 1, Max: 1}})
	kept, keptW, err := os.Pipe()
	test.Check(t, err)
	defer kept.Close()
	var peers []*gipc.Reader[string]
	test.Check(t, s.Start(Child(entryCargo, func(context.Context) (cargo, error) {
		var c cargo
		inside := map[string]any{"itself": &c.Any, "not ours": kept}
		for _, place := range []func(*gipc.Writer[string]){
			func(w *gipc.Writer[string]) { c.W = w },
			func(w *gipc.Writer[string]) { inside["end"] = []any{w} },
			func(w *gipc.Writer[string]) { c.ByFloat = map[float64]*gipc.Writer[string]{1: w} },
			func(w *gipc.Writer[string]) { c.Last = w },
		} {
			r, w, err := gipc.Pipe[string](nil)
			if err != nil {
				return c, err
			}
			peers = append(peers, r)
			place(w)
		}
		c.Any = inside
		return c, nil
	}, nil)))
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "in an interface") && !strings.Contains(err.Error(), "contain themselves") {
		t.Errorf("Wait is %v", err)
	}
	test.Equal(t, len(peers), 8)
	test.Check(t, keptW.Close())
	if _, err := kept.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a file in an interface: %v", err)
	}
	for _, r := range peers {
		if _, err := r.Get(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the other end of what was not handed over: %v", err)
		}
		test.Check(t, r.Close())
	}
}

// What args returns beside an error belongs to the Supervisor, too.
func TestSupervisorClosesTheEndsOfArgumentsThatFailed(t *testing.T) {
	ctx := test.Context(t)
	s, _ := superviseIt(t, Options{MaxRestarts: -1})
	why := errors.New("no worker")
	var peer *gipc.Reader[string]
	test.Check(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		r, w, err := gipc.Pipe[string](nil)
		peer = r
		return deedArgs{Out: w}, errors.Join(err, why)
	}, nil)))
	test.Is(t, s.Wait(), why)
	if _, err := peer.Get(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the other end of what was not handed over: %v", err)
	}
	test.Check(t, peer.Close())
}

// A Goexit in args, as by the Fatal of a test, is a failure of the child, and nobody waits for it for ever.
func TestGoexitInArgsIsAFailureOfTheChild(t *testing.T) {
	test.Bounded(t)
	s, log := superviseIt(t, Options{MaxRestarts: 1, Backoff: Backoff{Min: 1, Max: 1}})
	test.Check(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		runtime.Goexit()
		return deedArgs{}, nil
	}, nil)))
	if err := s.Wait(); err == nil || !strings.HasSuffix(err.Error(), "start of child deed: args (or Spawn.Command) called runtime.Goexit") {
		t.Errorf("Wait is %v", err)
	}
	test.Equal(t, log.count(EventStarting), 2)

	s, _ = superviseIt(t, Options{MaxRestarts: -1})
	var peer *gipc.Reader[string]
	leave := &gipc.SpawnOptions{Command: func(*exec.Cmd) { runtime.Goexit() }}
	test.Check(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		r, w, err := gipc.Pipe[string](nil)
		peer = r
		return deedArgs{Out: w}, err
	}, &ChildOptions{Spawn: leave})))
	test.Is(t, s.Wait(), errGoexit)
	if _, err := peer.Get(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the other end of what was not handed over: %v", err)
	}
	test.Check(t, peer.Close())
}
