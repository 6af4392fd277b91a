package pool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// opening says what the function that RegisterWith got does.
type opening struct {
	Starts string // a file that gets a line a start
	Fails  string // open fails while this file exists
	Holds  string // open does not return while this file exists
	Hangs  bool
	Every  int    // each start whose number it divides crashes
	Ends   string // a file that gets what Cleanup did
	Leaves string // a Cleanup makes this file, and does not return while it exists
}

var opened = RegisterWith("opened", func(ctx context.Context, o opening) (func(context.Context, string) (string, error), error) {
	if o.Starts != "" {
		note(o.Starts, "x")
	}
	if o.Fails != "" && exists(o.Fails) {
		return nil, errors.New("no model")
	}
	if o.Every > 0 && size(o.Starts)%o.Every == 0 {
		killSelf()
	}
	for o.Holds != "" && exists(o.Holds) {
		time.Sleep(time.Millisecond)
	}
	if o.Hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if o.Ends != "" {
		Cleanup(ctx, func() { note(o.Ends, "first ") })
		Cleanup(ctx, func() { note(o.Ends, "second ") })
	}
	if o.Leaves != "" {
		Cleanup(ctx, func() {
			announce(o.Leaves)
			for exists(o.Leaves) {
				time.Sleep(time.Millisecond)
			}
		})
	}
	return func(_ context.Context, arg string) (string, error) {
		do, path, _ := strings.Cut(arg, " ")
		switch do {
		case "die":
			killSelf()
		case "pid":
			return strconv.Itoa(os.Getpid()), nil
		case "hold": // until the file that it makes is removed
			announce(path)
			for exists(path) {
				time.Sleep(time.Millisecond)
			}
		}
		return arg, nil
	}, nil
})

func size(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return int(info.Size())
}

func newOpened(t testing.TB, o opening, opts Options) *Pool[string, string] {
	t.Helper()
	t.TempDir() // removed after the workers, which may write there, are gone
	p, err := New(opened.With(o), &opts)
	test.Check(t, err)
	t.Cleanup(func() { test.Check(t, p.Close()) })
	return p
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	o := opening{Starts: filepath.Join(dir, "starts"), Fails: filepath.Join(dir, "fails")}
	announce(o.Fails)
	p := newOpened(t, o, Options{Max: 4})
	_, err := p.Do(test.Context(t), "x")
	failed := as[*StartError](t, err)
	test.Equal(t, failed.Failures, 3)
	test.Equal(t, failed.Task, "opened")
	if !strings.Contains(err.Error(), "no model") {
		t.Error(err)
	}
	as[*StartError](t, p.WaitReady(test.Context(t)))
	if n := size(o.Starts); n > 12 {
		t.Errorf("%d starts", n)
	}
	remove(t, o.Fails)
	got, err := p.Do(test.Context(t), "x") // it recovers by itself
	for err != nil && errors.As(err, &failed) {
		got, err = p.Do(test.Context(t), "x") // the next try was under way
	}
	test.Check(t, err)
	test.Equal(t, got, "x")
}

func TestOpenFailsWhileAWorkerIsReady(t *testing.T) {
	dir := t.TempDir()
	o := opening{Starts: filepath.Join(dir, "starts"), Fails: filepath.Join(dir, "fails")}
	rec := &recorder{}
	p := newOpened(t, o, Options{Max: 3, OnEvent: rec.add})
	test.Check(t, p.WaitReady(test.Context(t)))
	announce(o.Fails)
	for range 50 {
		a := test.Started(func() error { _, err := p.Do(test.Context(t), "a"); return err })
		_, err := p.Do(test.Context(t), "b")
		test.Check(t, err)
		test.Check(t, <-a)
	}
	if n := rec.count(func(e Event) bool { return e.Kind == EventEnded && e.Reason == ReasonNotStarted }); n > 8 {
		t.Errorf("%d failed starts", n)
	}
}

func TestOpenThatCrashesEverySecondTime(t *testing.T) {
	o := opening{Starts: filepath.Join(t.TempDir(), "starts"), Every: 2}
	p := newOpened(t, o, Options{Max: 2, Retries: 1})
	for range 6 {
		_, err := p.Do(test.Context(t), "die")
		var died *WorkerError
		if !errors.As(err, &died) {
			t.Fatal(err)
		}
		_, err = p.Do(test.Context(t), "x")
		test.Check(t, err)
	}
}

func TestOpenTakesTooLong(t *testing.T) {
	p, err := newPool(opened.With(opening{Hangs: true}), &Options{Max: 1, Grace: 10 * time.Millisecond, Spawn: &gipc.SpawnOptions{StartTimeout: 200 * time.Millisecond}}, true)
	test.Check(t, err)
	_, err = p.Do(test.Context(t), "x")
	as[*StartError](t, err)
	test.Is(t, err, gipc.ErrNotReady)
	test.Check(t, p.Close())
}

func TestCleanupRunsLastFirst(t *testing.T) {
	o := opening{Ends: filepath.Join(t.TempDir(), "ends")}
	p := newOpened(t, o, Options{Max: 1})
	_, err := p.Do(test.Context(t), "x")
	test.Check(t, err)
	test.Check(t, p.Close())
	test.Equal(t, read(t, o.Ends), "second first ")
}

func TestCleanupElsewherePanics(t *testing.T) {
	test.Panics(t, func() { Cleanup(context.Background(), func() {}) })
}

func TestNewRefuses(t *testing.T) {
	for what, o := range map[string]Options{
		"min above max":      {Min: 3, Max: 2},
		"negative":           {Max: -1},
		"CPU limit":          {Spawn: &gipc.SpawnOptions{Limits: &gipc.Limits{CPU: time.Second}}},
		"negative memory":    {Shared: -1},
		"negative time":      {Grace: -1},
		"input without file": {Spawn: &gipc.SpawnOptions{Stdin: strings.NewReader("")}},
	} {
		if p, err := New(obey, &o); err == nil {
			_ = p.Close()
			t.Error(what, "is accepted")
		}
	}
}

type unsendable struct{ C chan int }

var (
	takesChan   = Register("takes a channel", func(context.Context, unsendable) (int, error) { return 0, nil })
	returnsFile = Register("returns a file", func(context.Context, int) (*os.File, error) { return nil, nil })
)

func TestNewRefusesTypesThatCantBeSent(t *testing.T) {
	_, err := New(takesChan, nil)
	as[*gipc.EncodeError](t, err)
	_, err = New(returnsFile, nil)
	as[*gipc.EncodeError](t, err)
	own := gipc.CodecFunc("own", func(dst []byte, v int) ([]byte, error) { return dst, nil }, func([]byte, *int) error { return nil })
	if _, err = New(returnsFile.WithCodecs(own, nil), nil); err == nil || !strings.Contains(err.Error(), "RegisterCodec") {
		t.Error(err)
	}
}

func TestRegisterRefuses(t *testing.T) {
	test.Panics(t, func() { Register("obey", func(context.Context, int) (int, error) { return 0, nil }) })
	test.Panics(t, func() { Register("", func(context.Context, int) (int, error) { return 0, nil }) })
	test.Panics(t, func() { Register[int, int]("nil", nil) })
	test.Panics(t, func() {
		RegisterWith("bad config", func(context.Context, chan int) (func(context.Context, int) (int, error), error) { return nil, nil })
	})
}

func TestMinWorkersAreReadyWithoutATask(t *testing.T) {
	p := newTestPool(t, Options{Min: 2, Max: 3})
	test.Check(t, p.WaitReady(test.Context(t)))
	test.Equal(t, p.Stats().Idle, 2)
	none := newTestPool(t, Options{Min: -1, Max: 3})
	test.Check(t, none.WaitReady(test.Context(t)))
	test.Equal(t, none.Stats().Workers, 0)
	pid(t, none)
}

func TestIdleWorkersAboveMinEnd(t *testing.T) {
	rec := &recorder{}
	p := newTestPool(t, Options{Min: 1, Max: 3, Idle: 10 * time.Millisecond, OnEvent: rec.add})
	ctx, cancel := context.WithCancel(context.Background())
	var results []<-chan error
	for range 3 {
		results = append(results, start(t, ctx, p, deed{Do: "until cancelled"}))
	}
	test.Equal(t, p.Stats().Workers, 3)
	cancel()
	for _, r := range results {
		test.Is(t, <-r, context.Canceled)
	}
	test.Eventually(t, "one is left", func() bool { return p.Stats().Workers == 1 })
	test.Equal(t, rec.count(func(e Event) bool { return e.Reason == ReasonLost }), 0)
	pid(t, p)
}
