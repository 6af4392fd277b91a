package gipc

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// What a Supervisor, or whoever else keeps children running, needs of a Process.

func init() {
	// Calls Ready each time that it is told to, and otherwise ends as it is told.
	addDeed("ready when told", func(ctx context.Context, a deedArgs) error {
		for how, err := range a.In.All(ctx) {
			if err == nil && how != "ready" {
				return endings[how]()
			}
			if err == nil {
				err = Ready(ctx)
			}
			if err != nil {
				return err
			}
		}
		return errors.New("nobody tells how to end")
	})
}

// tellable starts a child that can be told to be ready, and to end.
func tellable(t *testing.T, ctx context.Context) (p *Process, tell func(what ...string)) {
	t.Helper()
	orders, order := stringPipe(t)
	return spawnIt(t, entryDeed, deedArgs{Do: "ready when told", In: orders}, nil), func(what ...string) {
		t.Helper()
		for _, v := range what {
			test.Check(t, order.Put(ctx, v))
		}
	}
}

// endedCtx is a ctx that has ended with a cause.
func endedCtx(cause error) context.Context {
	ctx, end := context.WithCancelCause(context.Background())
	end(cause)
	return ctx
}

func TestReadyOutsideOfEntrypoint(t *testing.T) {
	if err := Ready(t.Context()); !errors.Is(err, ErrNotEntrypoint) {
		t.Error(err)
	}
}

func TestWaitReadyReturnsWhenReadyIsCalled(t *testing.T) {
	ctx := test.Context(t)
	p, tell := tellable(t, ctx)
	var waiting []<-chan error
	for range 5 {
		waiting = append(waiting, test.Started(func() error { return p.WaitReady(ctx) }))
	}
	why := errors.New("enough")
	err := p.WaitReady(endedCtx(why))
	test.Is(t, err, context.Canceled, why)
	var e *Error
	if !errors.As(err, &e) || e.Op != "wait until ready" || e.On != p.String() {
		t.Errorf("%+v", err)
	}
	if !p.Alive() {
		t.Fatal("the end of the ctx ended the child")
	}

	tell("ready")
	for _, result := range waiting {
		test.Check(t, <-result)
	}
	test.Check(t, p.WaitReady(endedCtx(why))) // it need not wait
	tell("ready", "exit 3")                   // calling it again does no harm
	<-p.Done()
	test.Check(t, p.WaitReady(ctx)) // it was ready
}

func TestWaitReadyOfAChildThatEndsBefore(t *testing.T) {
	ctx := test.Context(t)
	p, tell := tellable(t, ctx)
	waiting := test.Started(func() error { return p.WaitReady(ctx) })
	tell("nil")
	for _, err := range []error{<-waiting, p.WaitReady(ctx)} {
		test.Is(t, err, ErrNotReady)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "exited with code 0") {
			t.Error(err)
		}
	}

	p, tell = tellable(t, ctx)
	waiting = test.Started(func() error { return p.WaitReady(ctx) })
	tell("exit 3")
	<-p.Done()
	var exit *ExitError
	if err := <-waiting; !errors.As(err, &exit) || exit.Code != 3 || err != p.Wait(ctx) || err != p.WaitReady(ctx) {
		t.Errorf("%v, %v", err, p.WaitReady(ctx))
	}
}

// askedCtx calls a function when somebody is about to wait for it.
type askedCtx struct {
	context.Context
	asked func()
}

func (c askedCtx) Done() <-chan struct{} {
	c.asked()
	return nil
}

// A child that has called Ready and ended, while nobody looked, was ready.
func TestWaitReadyPrefersReadyToTheEnd(t *testing.T) {
	for range 50 { // else it would be a matter of luck
		p := &Process{health: newHealth(), done: make(chan struct{}), err: errors.New("it has ended")}
		test.Check(t, p.WaitReady(askedCtx{t.Context(), func() {
			p.health.note(report{Serving: true})
			close(p.done)
		}}))
	}
}

func TestPingIsAnswered(t *testing.T) {
	ctx := test.Context(t)
	p := upChild(t, ctx, "ignore ctx", nil)
	for range 10 {
		test.Check(t, p.Ping(ctx))
	}
	var pings []<-chan error
	for range 50 {
		pings = append(pings, test.Started(func() error { return p.Ping(ctx) }))
	}
	for _, result := range pings {
		test.Check(t, <-result)
	}
}

func TestPingOfAnEndedChild(t *testing.T) {
	ctx := test.Context(t)
	p, _ := ending(t, ctx, "nil", nil)
	err := p.Ping(ctx)
	test.Is(t, err, os.ErrProcessDone)
	var e *Error
	if !errors.As(err, &e) || e.Op != "ping" || e.On != p.String() {
		t.Errorf("%+v", err)
	}
	p, ended := ending(t, ctx, "exit 3", nil)
	for range 2 {
		if err := p.Ping(ctx); err != ended {
			t.Errorf("%v, want %v", err, ended)
		}
	}
}

// Until a question is answered, whoever asks waits for its answer, and for no other.
func TestPingsShareOneQuestion(t *testing.T) {
	h := newHealth()
	answered := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	first, one := h.ask()
	again, two := h.ask()
	if first != 1 || again != 0 || one != two {
		t.Fatalf("questions %d and %d", first, again)
	}
	for _, r := range []report{{}, {Serving: true}, {Pong: 2}} {
		h.note(r)
	}
	if answered(one) {
		t.Error("something else counts as the answer")
	}
	h.note(report{Pong: 1})
	if !answered(one) {
		t.Error("the answer doesn't count")
	}
	second, three := h.ask()
	h.note(report{Pong: 1}) // once more: the child is hostile
	if second != 2 || answered(three) {
		t.Errorf("question %d, answered by the last one's answer: %v", second, answered(three))
	}
	h.note(report{Pong: 2})
	if h.note(report{Pong: 2}); !answered(three) {
		t.Error("the second answer doesn't count")
	}
}

func TestKillCauseIsInTheExitError(t *testing.T) {
	ctx := test.Context(t)
	why := errors.New("it serves stale data")
	p := upChild(t, ctx, "ignore ctx", nil)
	test.Check(t, p.KillCause(why))
	err := p.Wait(ctx)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Err != why || exit.Asked || exit.Code != -9 && !(onWindows && exit.Code == 137) {
		t.Fatalf("%+v", err)
	}
	if !strings.HasSuffix(err.Error(), ": "+why.Error()) {
		t.Error(err)
	}
	test.Is(t, p.KillCause(errors.New("another")), os.ErrProcessDone)
	if again := p.Wait(ctx); again != err || exit.Err != why {
		t.Errorf("afterwards %v", again)
	}

	// One that has ended by itself keeps its own reason.
	for _, how := range []string{"nil", "error", "exit 3", "panic"} {
		p, ended := ending(t, ctx, how, nil)
		test.Is(t, p.KillCause(why), os.ErrProcessDone)
		if err := p.Wait(ctx); err != ended || errors.Is(err, why) {
			t.Errorf("%s: %v, before %v", how, err, ended)
		}
	}
}

// ExitError.Asked is what makes Stop return nil.
func TestExitErrorSaysWhetherItEndedAsAsked(t *testing.T) {
	ctx := test.Context(t)
	for do, want := range map[string]bool{
		"await ctx": true, "await ctx and wrap": true, "await ctx, cause": true,
		"await ctx and join": false, "await ctx and fail": false, "await ctx and time out": false,
	} {
		p := upChild(t, ctx, do, nil)
		stopped := p.Stop(ctx)
		var exit *ExitError
		if err := p.Wait(ctx); !errors.As(err, &exit) || exit.Asked != want || (stopped == nil) != want {
			t.Errorf("%s: asked %+v, Stop is %v", do, err, stopped)
		}
	}

	spawnCtx, cancel := context.WithCancel(ctx) // its end asks, too
	r, w := stringPipe(t)
	p, err := Spawn(spawnCtx, entryDeed, deedArgs{Do: "await ctx", Out: w}, nil)
	test.Check(t, err)
	get(t, ctx, r)
	cancel()
	var exit *ExitError
	if err := p.Wait(ctx); !errors.As(err, &exit) || !exit.Asked {
		t.Errorf("the end of Spawn's ctx: %+v", err)
	}

	for _, how := range []string{"canceled", "error", "exit 3", "panic"} { // nobody has asked
		if _, err := ending(t, ctx, how, nil); !errors.As(err, &exit) || exit.Asked {
			t.Errorf("%s: asked %+v", how, err)
		}
	}
}

// shelf has ends at all kinds of places.
type shelf struct {
	R      *Reader[string]
	W      *Writer[string]
	Talk   *Duplex[string, string]
	File   *os.File
	List   []*Writer[string]
	Array  [1]*Writer[string]
	ByName map[string]*Writer[string]
	ByKey  map[float64]struct{ W *Writer[string] }
	Inner  *shelf
	Any    any
	Log    io.Writer
	hidden *Writer[string]
}

func TestCloseEndsClosesThemWhereverTheyAre(t *testing.T) {
	ctx := test.Context(t)
	heard := map[string]*Reader[string]{}
	writer := func(place string) *Writer[string] {
		r, w := stringPipe(t)
		heard[place] = r
		return w
	}
	read, put := stringPipe(t)
	mine, theirs := duplexOf[string, string](t, nil, nil)
	files := map[string]*os.File{}
	file := func(place string) *os.File {
		f, err := os.Create(t.TempDir() + "/f")
		test.Check(t, err)
		t.Cleanup(func() { _ = f.Close() }) // most are closed
		files[place] = f
		return f
	}
	s := &shelf{
		R: read, W: writer("field"), Talk: theirs, File: file("field"),
		List: []*Writer[string]{nil, writer("slice")}, Array: [1]*Writer[string]{writer("array")},
		ByName: map[string]*Writer[string]{"a": writer("map"), "b": nil},
		ByKey:  map[float64]struct{ W *Writer[string] }{1: {writer("struct in a map")}},
		Inner:  &shelf{W: writer("behind a pointer"), File: file("behind a pointer")},
		Any:    []any{writer("interface"), &shelf{W: writer("behind an interface"), File: file("behind an interface")}, nil, 7},
		Log:    file("interface"),
		hidden: writer("unexported"),
	}
	s.Inner.Inner = s // in a circle
	CloseEnds(s)

	for place, r := range heard {
		if place == "unexported" {
			continue
		}
		if _, err := r.Get(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the reader of the one in a place of kind %s: %v", place, err)
		}
	}
	test.Is(t, put.Put(ctx, "x"), ErrPeerClosed)
	test.Is(t, second(mine.Get(ctx)), io.ErrUnexpectedEOF)
	test.Is(t, mine.Put(ctx, "x"), ErrPeerClosed)
	for _, err := range []error{s.R.Close(), s.W.Close(), s.Talk.Close()} {
		test.Is(t, err, ErrClosed)
	}
	for place, f := range files {
		_, err := f.WriteString("x")
		if left := strings.Contains(place, "interface"); left != (err == nil) || !left && !errors.Is(err, os.ErrClosed) {
			t.Errorf("a file in a place of kind %s: %v", place, err)
		}
	}
	test.Check(t, s.hidden.Put(ctx, "still open"))
	test.Equal(t, get(t, ctx, heard["unexported"]), "still open")
	CloseEnds(s) // again
}

func TestCloseEndsOfNothing(t *testing.T) {
	for _, args := range []any{
		nil, 7, "text", shelf{}, (*shelf)(nil), (*Writer[int])(nil), (*os.File)(nil), []any{nil},
		struct{ Any any }{(*Duplex[int, int])(nil)},
	} {
		CloseEnds(args)
	}
}
