package gipc

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// upChild starts a child that waits in one of the ways to wait, and returns when it does.
func upChild(t testing.TB, ctx context.Context, do string, opts *SpawnOptions) *Process {
	t.Helper()
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: do, Out: w}, opts)
	if got := get(t, ctx, r); got != "up" {
		t.Fatal(got)
	}
	return p
}

func TestWaitReturnsWhenItsCtxEndsAndTheChildLivesOn(t *testing.T) {
	ctx := test.Context(t)
	p := upChild(t, ctx, "ignore ctx", nil)
	ended, end := context.WithCancelCause(ctx)
	end(errors.New("enough"))
	err := p.Wait(ended)
	var e *Error
	if !errors.Is(err, context.Canceled) || !errors.As(err, &e) || e.Op != "wait" || !strings.Contains(err.Error(), "enough") {
		t.Error(err)
	}
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	test.Is(t, p.Wait(soon), context.DeadlineExceeded)
	if !p.Alive() {
		t.Error("the child has ended")
	}
	test.Check(t, p.Kill())
	if first := p.Wait(ctx); first == nil || p.Wait(ended) != first {
		t.Error("a Wait behind the end gives something else")
	}
}

func TestWaitFromManyGoroutinesGivesAllTheSame(t *testing.T) {
	ctx := test.Context(t)
	r, order := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "await order", In: r}, nil)
	const n = 50
	results := make(chan error, n)
	for range n {
		go func() { results <- p.Wait(ctx) }()
	}
	test.Check(t, order.Put(ctx, "exit 3"))
	<-p.Done()
	want := p.Wait(ctx)
	for range n {
		if err := <-results; err != want {
			t.Fatalf("%v and %v", err, want)
		}
	}
}

func TestStopAsksThenTerminatesThenKills(t *testing.T) {
	ctx := test.Context(t)
	grace := test.Patience / 30
	within := func(d time.Duration) string { return "it did not stop within " + d.String() + " (asked to stop)" }
	for do, want := range map[string]struct {
		code  int
		text  string // of Stop's error, "": nil
		grace time.Duration
	}{
		"await ctx":              {code: 1, grace: time.Minute},
		"await ctx and wrap":     {code: 1, grace: time.Minute},
		"await ctx, cause":       {code: 1, grace: time.Minute},
		"await ctx and join":     {1, "3 orders not saved", time.Minute},
		"await ctx and time out": {1, "3 orders not saved", time.Minute},
		"await ctx, well":        {grace: time.Minute},
		"await ctx and fail":     {1, "failed after gipc: the parent asked this process to stop", time.Minute},
		"ignore ctx":             {-15, "signal 15 (terminated): " + within(grace/4*3), grace},
		"spin":                   {-15, "signal 15 (terminated): " + within(grace/4*3), grace},
		"ignore SIGTERM":         {-9, "signal 9 (killed): " + within(grace/2), grace / 2},
	} {
		if onWindows && want.code == -15 { // its exit code is all that TerminateProcess tells
			want.code, want.text = 143, "exited with code 143: "+within(grace/4*3)
		}
		t.Run(do, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			needsDeed(t, do)
			p := upChild(t, ctx, do, &SpawnOptions{Grace: want.grace})
			err := p.Stop(ctx)
			if want.text == "" {
				test.Check(t, err)
			} else if err == nil || !strings.Contains(err.Error(), want.text) || err != p.Wait(ctx) {
				t.Errorf("%v, want %q", err, want.text)
			}
			if code, exited := p.ExitCode(); code != want.code || !exited {
				t.Errorf("code %d, want %d", code, want.code)
			}
			if again := p.Stop(ctx); again != err {
				t.Errorf("the second Stop says %v", again)
			}
		})
	}
}

// What looks like the end of its ctx is no answer to being asked where nobody has asked.
func TestStopAfterAnEndOfItsOwnSaysHow(t *testing.T) {
	ctx := test.Context(t)
	for how, match := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
		p, ended := ending(t, ctx, how, nil)
		test.Is(t, ended, match)
		if err := p.Stop(ctx); err != ended {
			t.Errorf("%s: Stop is %v", how, err)
		}
	}
}

func TestStopAtTheSameTimeJoins(t *testing.T) {
	ctx := test.Context(t)
	p := upChild(t, ctx, "await ctx", nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := p.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestStopKillsWhenItsCtxEnds(t *testing.T) {
	ctx := test.Context(t)
	p := upChild(t, ctx, "ignore ctx", &SpawnOptions{Grace: 1 << 62})
	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	err := p.Stop(soon)
	test.Is(t, err, context.DeadlineExceeded)
	var e *ExitError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "did not stop in time") || p.Alive() {
		t.Error(err)
	}
}

func TestEndOfSpawnsCtxStopsTheChild(t *testing.T) {
	ctx := test.Context(t)
	for do, text := range map[string]string{
		"await ctx":          "context canceled",
		"await ctx and fail": "failed after gipc: the parent asked",
		"ignore ctx":         "did not stop within",
	} {
		grace := time.Minute
		if do == "ignore ctx" {
			grace = 100 * time.Millisecond
		}
		spawnCtx, cancel := context.WithCancelCause(ctx)
		r, w := stringPipe(t)
		p, err := Spawn(spawnCtx, entryDeed, deedArgs{Do: do, Out: w}, &SpawnOptions{Grace: grace})
		test.Check(t, err)
		get(t, ctx, r)
		cancel(errors.New("closing time"))
		err = p.Wait(ctx)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", do, err)
		}
		if do == "await ctx" {
			test.Is(t, err, context.Canceled)
		}
		if do == "ignore ctx" && !strings.Contains(err.Error(), "closing time") {
			t.Errorf("no cause: %v", err)
		}
	}
}

// What is done to a child, in any order and at the same time, leads to the same end.
func TestAnyOrderOfWaitStopKillAndClose(t *testing.T) {
	ctx := test.Context(t)
	rounds := 200
	if testing.Short() {
		rounds = 40
	}
	dos := []string{"await ctx", "ignore ctx", "await order", "echo"}
	var lanes sync.WaitGroup
	for lane := range 4 {
		lanes.Go(func() {
			random := rand.New(rand.NewPCG(uint64(lane), 7))
			for range rounds / 4 {
				inAnyOrder(t, ctx, random, dos[random.IntN(len(dos))])
			}
		})
	}
	lanes.Wait()
}

func inAnyOrder(t *testing.T, ctx context.Context, random *rand.Rand, do string) {
	in, order := stringPipe(t)
	out, w := stringPipe(t)
	talk, theirs := duplexOf[string, string](t, nil, nil)
	p, err := Spawn(ctx, entryDeed, deedArgs{Do: do, In: in, Out: w, Talk: theirs}, &SpawnOptions{Grace: 50 * time.Millisecond})
	if err != nil {
		t.Error(err)
		return
	}
	short, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(3000))*time.Microsecond)
	defer cancel()
	steps := []func(){
		func() { _ = p.Kill() },
		func() { _ = p.Terminate() },
		func() { _ = p.Stop(ctx) },
		func() { _ = p.Stop(short) },
		func() { _ = p.Wait(short) },
		func() { _, _ = p.ExitCode() },
		func() { _ = p.Alive() },
		func() { _ = p.String() },
		func() { _ = p.Signal(os.Interrupt) },
		func() { _ = order.Put(short, "nil") },
		func() { _, _ = out.Get(short) },
		func() { _ = talk.Put(short, "x") },
		func() { _ = order.Close() },
		func() { _ = out.Close() },
		func() { _ = talk.CloseNow() },
	}
	random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	var wg sync.WaitGroup
	for _, step := range steps[:3+random.IntN(len(steps)-3)] {
		if random.IntN(2) == 0 {
			wg.Go(step)
		} else {
			step()
		}
	}
	_ = p.Kill()
	first := p.Wait(ctx)
	wg.Wait()
	if ctx.Err() != nil || p.Alive() || p.Wait(ctx) != first || !errors.Is(p.Kill(), os.ErrProcessDone) {
		t.Errorf("after all: %v, %v", p, first)
	}
	var exit *ExitError
	if code, exited := p.ExitCode(); !exited || first != nil && (!errors.As(first, &exit) || exit.Code != code) || first == nil && code != 0 {
		t.Errorf("code %d, exited %v, %v", code, exited, first)
	}
}
