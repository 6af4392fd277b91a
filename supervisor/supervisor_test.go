package supervisor

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/test"
)

// The policies are tested with fake children and in synctest's fake time, here and in the files about one concern each.

func TestSupervisorStartsAndStopsInOrder(t *testing.T) {
	for _, strategy := range []Strategy{OneForOne, OneForAll, RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			s := fakeSupervisor(t.Context(), &Options{Strategy: strategy})
			if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{})); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(f.spec("c", plan{})); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			wantList(t, f.read(), "start a", "start b", "start c", "end c", "end b", "end a")
			if err := s.Wait(); err != nil {
				t.Error(err)
			}
			if err := s.Start(f.spec("d", plan{})); !errors.Is(err, ErrStopped) {
				t.Errorf("Start after Stop: %v", err)
			}
		})
	}
}

func TestSupervisorStartsNothingWhileItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		release := make(chan struct{})
		slow := plan{run: func(context.Context, int, *fakeChild) error { <-release; return nil }}
		if err := s.Start(f.spec("slow", slow)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- s.Stop(t.Context()) }()
		synctest.Wait()
		if err := s.Start(f.spec("late", plan{})); !errors.Is(err, ErrStopped) {
			t.Errorf("Start is %v", err)
		}
		close(release)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestSupervisorContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		f := newFakes()
		ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		s := fakeSupervisor(ctx, nil)
		var value any
		p := plan{start: func(ctx context.Context, _ int) error { value = ctx.Value(key{}); return nil }}
		if err := s.Start(f.spec("a", p), f.spec("b", plan{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		why := errors.New("enough")
		cancel(why)
		err := s.Wait()
		if !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
			t.Errorf("Wait is %v", err)
		}
		wantList(t, f.read()[2:], "end b", "end a")
		if value != "value" {
			t.Errorf("args got the value %v", value)
		}
		if err := s.Start(f.spec("c", plan{})); !errors.Is(err, ErrStopped) {
			t.Errorf("Start is %v", err)
		}
	})
}

func TestSupervisorWaitsForChildrenThenDaemons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		daemon := plan{options: ChildOptions{Spawn: &gipc.SpawnOptions{Daemon: true}}}
		work := plan{options: ChildOptions{Restart: Transient}, run: func(ctx context.Context, n int, f *fakeChild) error {
			time.Sleep(time.Second)
			if n == 0 {
				return errCrash
			}
			return nil
		}}
		if err := s.Start(f.spec("d1", daemon), f.spec("work", work), f.spec("d2", daemon)); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
		wantList(t, f.read()[3:], "end work", "start work", "end work", "end d2", "end d1")
	})
}

func TestSupervisorStartWithoutInitSaysSo(t *testing.T) {
	s := New(t.Context(), nil)
	proc.Initialized.Store(false)
	err := s.Start()
	proc.Initialized.Store(true)
	if !errors.Is(err, gipc.ErrNotInitialized) {
		t.Errorf("Start is %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSupervisorWithoutChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fakeSupervisor(t.Context(), nil)
		if err := s.Start(); err != nil {
			t.Error(err)
		}
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Children that end for good don't end the supervisor before somebody waits.
func TestSupervisorLivesUntilWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		once := plan{options: ChildOptions{Restart: Temporary}, run: func(context.Context, int, *fakeChild) error { return nil }}
		for range 300 {
			if err := s.Start(f.spec("a", once)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if n := len(s.Children()); n != maxEnded {
			t.Errorf("%d children are remembered", n)
		}
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestSupervisorNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s := fakeSupervisor(t.Context(), nil)
		if err := s.Start(f.spec("a", plan{}), f.spec("a", plan{}), f.spec("a#2", plan{}), f.spec("a", plan{})); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range s.Children() {
			names = append(names, c.Name)
		}
		wantList(t, names, "a", "a#2", "a#2#2", "a#3")
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A supervisor whose process has lost its parent stops, whatever its ctx says: it must not start children any more.
func TestSupervisorOrphaned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		orphaned := make(chan struct{})
		s := newSupervisor(t.Context(), nil, surroundings{random: noRandom, orphaned: orphaned})
		if err := s.Start(f.spec("a", plan{}), f.spec("b", plan{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(orphaned)
		if err := s.Wait(); !errors.Is(err, proc.ErrParentGone) {
			t.Errorf("Wait is %v", err)
		}
		wantList(t, f.read()[2:], "end b", "end a")
	})
}

// Whatever ended the ctx of New, Wait returns its error: also where that was another Supervisor, or the end of the parent.
func TestSupervisorWhoseCtxEndsSaysSo(t *testing.T) {
	for _, cause := range []error{errSupervisorStopped, errOthersEnded, proc.ErrParentGone} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes()
			ctx, end := context.WithCancelCause(t.Context())
			s := newSupervisor(ctx, nil, surroundings{random: noRandom})
			if err := s.Start(f.spec("a", plan{})); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			end(cause)
			if err := s.Wait(); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
				t.Errorf("Wait is %v", err)
			}
		})
	}
}

func TestSupervisorMisuse(t *testing.T) {
	s := New(t.Context(), nil)
	args := func(context.Context) (deedArgs, error) { return deedArgs{}, nil }
	for name, spec := range map[string]ChildSpec{
		"zero spec":      {},
		"no entrypoint":  Child[deedArgs](nil, args, nil),
		"no args":        Child(entryDeed, nil, nil),
		"restart":        Child(entryDeed, args, &ChildOptions{Restart: 3}),
		"minus liveness": Child(entryDeed, args, &ChildOptions{Liveness: -1}),
		"minus grace":    Child(entryDeed, args, &ChildOptions{Spawn: &gipc.SpawnOptions{Grace: -1}}),
	} {
		f := newFakes()
		if err := s.Start(f.spec("good", plan{}), spec); err == nil || errors.Is(err, ErrStopped) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.Children()); n != 0 {
		t.Errorf("%d children", n)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for name, o := range map[string]Options{
		"strategy": {Strategy: 3}, "window": {Window: -1}, "min": {Backoff: Backoff{Min: -1}},
		"min above max": {Backoff: Backoff{Min: 2 * time.Second, Max: time.Second}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			New(t.Context(), &o)
		}()
	}
}

// A dead child's goroutine may still sit in Read, and would take what its successor should get.
func TestSupervisorRefusesAnInputThatRestartsWouldLose(t *testing.T) {
	s := New(t.Context(), nil)
	args := func(context.Context) (deedArgs, error) { return deedArgs{Do: "nil"}, nil }
	child := func(in io.Reader, restart Restart) ChildSpec {
		return Child(entryDeed, args, &ChildOptions{Restart: restart, Spawn: &gipc.SpawnOptions{Stdin: in}})
	}
	for _, restart := range []Restart{Permanent, Transient} {
		err := s.Start(child(strings.NewReader("one\n"), restart))
		if err == nil || !strings.Contains(err.Error(), "Stdin is a *strings.Reader") || !strings.Contains(err.Error(), "*os.File") {
			t.Errorf("%v: %v", restart, err)
		}
	}
	null, err := os.Open(os.DevNull)
	test.Check(t, err)
	defer null.Close()
	test.Check(t, s.Start(child(strings.NewReader("one\n"), Temporary), child(null, Transient), child(nil, Transient)))
	test.Check(t, s.Stop(test.Context(t)))
}

// A Supervisor that New didn't make says so; it doesn't wait for ever.
func TestZeroSupervisorPanics(t *testing.T) {
	s := &Supervisor{}
	for name, call := range map[string]func(){
		"Start":    func() { _ = s.Start() },
		"Stop":     func() { _ = s.Stop(t.Context()) },
		"Wait":     func() { _ = s.Wait() },
		"Children": func() { s.Children() },
	} {
		t.Run(name, func(t *testing.T) {
			test.Bounded(t)
			defer func() { test.Equal(t, recover(), any("gipc/supervisor: a Supervisor is made by New")) }()
			call()
		})
	}
}

func TestChildListTable(t *testing.T) {
	l := ChildList{
		{Name: "db", PID: 71, State: ChildRunning, Uptime: 90 * time.Second},
		{Name: "worker\n#2", State: ChildBackingOff, Restarts: 12, LastErr: errors.New("two\nlines")},
	}
	want := "" +
		"NAME       PID  STATE        RESTARTS  UPTIME  LAST ERROR\n" +
		"db         71   running      0         1m30s   -\n" +
		"worker #2  -    backing off  12        -       two lines\n"
	if got := l.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
