package pool

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func deeds(n int, do func(i int) deed) iter.Seq[deed] {
	return func(yield func(deed) bool) {
		for i := range n {
			if !yield(do(i)) {
				return
			}
		}
	}
}

func echo(i int) deed { return deed{Do: "echo", Data: []byte{byte(i)}} }

func TestAllKeepsTheOrder(t *testing.T) {
	p := newTestPool(t, Options{Max: 3})
	for _, n := range []int{0, 1, 200} {
		i := 0
		for got, err := range p.All(test.Context(t), deeds(n, echo)) {
			test.Check(t, err)
			test.Bytes(t, got.Data, []byte{byte(i)})
			i++
		}
		test.Equal(t, i, n)
	}
}

// All waits for the first task, so it must not start behind others that fill the workers.
func TestLoopsStartTasksInTheOrderOfArgs(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, PerWorker: 1, Queue: 100})
	path := filepath.Join(t.TempDir(), "order")
	for i := range 10 {
		want := ""
		for n := range 20 {
			want += fmt.Sprint(n, " ")
		}
		args := deeds(20, func(n int) deed { return deed{Do: "count as", Path: path, N: n} })
		if i%2 == 0 {
			for _, err := range p.All(test.Context(t), args) {
				test.Check(t, err)
			}
		} else {
			for r := range p.Unordered(test.Context(t), args) {
				test.Check(t, r.Err)
			}
		}
		test.Equal(t, read(t, path), want)
		remove(t, path)
	}
}

func TestAllYieldsErrorsInTheirPlace(t *testing.T) {
	p := newTestPool(t, Options{Max: 2})
	i := 0
	for _, err := range p.All(test.Context(t), deeds(30, func(i int) deed {
		switch i % 10 {
		case 3:
			return deed{Do: "fail"}
		case 7:
			return deed{Do: "kill"}
		}
		return echo(i)
	})) {
		switch i % 10 {
		case 3:
			as[*TaskError](t, err)
		case 7:
			as[*WorkerError](t, err)
		default:
			test.Check(t, err)
		}
		i++
	}
	test.Equal(t, i, 30)
}

func TestUnorderedYieldsEachOnce(t *testing.T) {
	p := newTestPool(t, Options{Max: 3})
	var got []byte
	for r := range p.Unordered(test.Context(t), deeds(100, echo)) {
		test.Check(t, r.Err)
		test.Bytes(t, r.Value.Data, r.Arg.Data)
		got = append(got, r.Value.Data...)
	}
	slices.Sort(got)
	test.Equal(t, len(slices.Compact(got)), 100)
}

// An endless sequence: only what fits is taken, and a break ends everything.
func TestBreakEndsAnEndlessLoop(t *testing.T) {
	p := newTestPool(t, Options{Max: 2})
	taken, ended := 0, make(chan struct{})
	args := func(yield func(deed) bool) {
		defer close(ended)
		for {
			taken++
			if !yield(echo(taken)) {
				return
			}
		}
	}
	n := 0
	for _, err := range p.All(test.Context(t), args) {
		test.Check(t, err)
		if n++; n == 5 {
			break
		}
	}
	<-ended
	if most := n + 2*1 + 2; taken > most {
		t.Errorf("%d were taken, at most %d may be", taken, most)
	}
	test.Eventually(t, "nothing is under way", func() bool { s := p.Stats(); return s.Running+s.Waiting == 0 })
}

// What is ready comes while args blocks, and a break doesn't wait for args.
func TestAllYieldsWhileArgsBlocks(t *testing.T) {
	p := newTestPool(t, Options{Max: 2})
	release, ended := make(chan struct{}), make(chan bool)
	args := func(yield func(deed) bool) {
		yield(echo(1))
		<-release
		ended <- yield(echo(2))
	}
	for got, err := range p.All(test.Context(t), args) {
		test.Check(t, err)
		test.Bytes(t, got.Data, []byte{1})
		break
	}
	close(release)
	test.Equal(t, <-ended, false)
}

func TestLoopsEndWithTheCtxsError(t *testing.T) {
	p := newTestPool(t, Options{Max: 2})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var errs []error
	for _, err := range p.All(ctx, deeds(1000, echo)) {
		errs = append(errs, err)
		if len(errs) == 3 {
			cancel()
		}
	}
	test.Is(t, errs[len(errs)-1], context.Canceled)
	for _, err := range errs[:len(errs)-1] {
		test.Check(t, err)
	}
}

func TestLoopsEndWithErrClosed(t *testing.T) {
	p := newTestPool(t, Options{Max: 2})
	n, bad := 0, 0
	for r := range p.Unordered(test.Context(t), deeds(1000, echo)) {
		if n++; n == 3 {
			test.Check(t, p.Close())
		}
		if r.Err != nil {
			bad++
			test.Is(t, r.Err, ErrClosed)
		}
	}
	test.Equal(t, bad, 1)
}

// Where Do gets ErrQueueFull, a loop waits.
func TestLoopsWaitForRoom(t *testing.T) {
	p := newTestPool(t, Options{Max: 1, Queue: -1})
	ctx, cancel := context.WithCancel(context.Background())
	runs := start(t, ctx, p, deed{Do: "until cancelled"})
	loop := test.Started(func() error {
		for _, err := range p.All(test.Context(t), deeds(5, echo)) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	test.Eventually(t, "it waits for room", func() bool {
		p.core.mu.Lock()
		defer p.core.mu.Unlock()
		return len(p.core.rooms) > 0
	})
	cancel()
	test.Is(t, <-runs, context.Canceled)
	test.Check(t, <-loop)
}

func TestPanicOfArgsGoesOnInTheLoop(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	defer func() { test.Equal(t, recover(), any("args")) }()
	for _, err := range p.All(test.Context(t), func(yield func(deed) bool) { yield(echo(1)); panic("args") }) {
		test.Check(t, err)
	}
	t.Error("no panic")
}

// panicking yields three arguments, for which there is room, and panics.
func panicking(yield func(deed) bool) {
	deeds(3, echo)(yield)
	panic("in args")
}

// The panic of args goes on whenever the loop sees it, also when it is left then.
func TestPanicOfArgsGoesOnBehindABreak(t *testing.T) {
	p := newTestPool(t, Options{Max: 2})
	for range 20 {
		l := p.startLoop(test.Context(t), panicking, true)
		test.Panics(t, func() {
			n := 0
			l.run(func(deed, done, error) bool {
				test.Eventually(t, "args has ended", func() bool { return l.ended != nil || len(l.args) == 1 })
				n++
				return n < 3
			})
		})
	}
}

// A panic in the loop goes on, whatever args does.
func TestPanicInTheLoopGoesOn(t *testing.T) {
	p := newTestPool(t, Options{Max: 2})
	for name, args := range map[string]iter.Seq[deed]{
		"panic":  panicking,
		"Goexit": func(yield func(deed) bool) { deeds(3, echo)(yield); runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			var got any
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				defer func() { got = recover() }()
				l := p.startLoop(test.Context(t), args, true)
				l.run(func(deed, done, error) bool {
					test.Eventually(t, "args has ended", func() bool { return l.ended != nil || len(l.args) == 1 })
					panic("in the loop")
				})
			}()
			<-ended
			test.Equal(t, got, any("in the loop"))
		})
	}
}

func TestGoexitOfArgsGoesOnInTheLoop(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	ended := make(chan bool)
	go func() {
		returned := false
		defer func() { ended <- returned }()
		for range p.Unordered(test.Context(t), func(func(deed) bool) { runtime.Goexit() }) {
			t.Error("an element")
		}
		returned = true
	}()
	test.Equal(t, <-ended, false)
}

// A loop whose args blocks ends when the pool is closed.
func TestLoopsEndWithErrClosedWhileArgsBlocks(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	ctx := test.Context(t)
	var errs []error
	for _, err := range p.All(ctx, func(yield func(deed) bool) { yield(echo(1)); <-ctx.Done() }) {
		if errs = append(errs, err); len(errs) == 1 {
			test.Check(t, p.Close())
		}
	}
	test.Equal(t, len(errs), 2)
	test.Check(t, errs[0])
	test.Is(t, errs[1], ErrClosed)
}

// awaitDraining waits until a pool takes no more tasks.
func awaitDraining(t testing.TB, p *core) {
	t.Helper()
	test.Eventually(t, "it drains", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.state >= draining
	})
}

// Drain lets a loop's tasks finish. The first argument that the pool doesn't take any more ends args, and then the loop.
func TestLoopsFinishTheirTasksWhenThePoolDrains(t *testing.T) {
	loops := map[string]func(p *Pool[deed, done], args iter.Seq[deed]) iter.Seq2[done, error]{
		"All": func(p *Pool[deed, done], args iter.Seq[deed]) iter.Seq2[done, error] {
			return p.All(test.Context(t), args)
		},
		"Unordered": func(p *Pool[deed, done], args iter.Seq[deed]) iter.Seq2[done, error] {
			return func(yield func(done, error) bool) {
				for r := range p.Unordered(test.Context(t), args) {
					if !yield(r.Value, r.Err) {
						return
					}
				}
			}
		},
	}
	for name, loop := range loops {
		t.Run(name, func(t *testing.T) {
			told := 0
			p := newTestPool(t, Options{Max: 2, OnTask: func(TaskInfo) { told++ }})
			holds := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
			refused, drained := make(chan bool, 1), make(chan error, 1)
			args := func(yield func(deed) bool) {
				yield(deed{Do: "until told", Path: holds[0]})
				yield(deed{Do: "until told", Path: holds[1]})
				yield(echo(1)) // waits
				test.Eventually(t, "the first two run", func() bool { return exists(holds[0]) && exists(holds[1]) })
				go func() { drained <- p.Drain(test.Context(t)) }()
				awaitDraining(t, p.core)
				refused <- !yield(echo(2))
			}
			var errs []error
			ended := test.Started(func() error {
				for _, err := range loop(p, args) {
					errs = append(errs, err)
				}
				return nil
			})
			test.Equal(t, <-refused, true)
			remove(t, holds[0])
			remove(t, holds[1])
			test.Check(t, <-ended)
			test.Check(t, <-drained)
			test.Equal(t, len(errs), 4)
			test.Check(t, errors.Join(errs[:3]...))
			test.Is(t, errs[3], ErrClosed)
			test.Equal(t, told, 4)
		})
	}
}

// A loop that finds the pool closed, and an argument that was not run a moment later, ends with an error.
func TestLoopThatSeesTheCloseFirstEndsWithAnError(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	goOn := make(chan struct{})
	l := p.startLoop(test.Context(t), func(yield func(deed) bool) { <-goOn; yield(echo(1)) }, false)
	test.Check(t, p.Close())
	_, ok := l.next()
	test.Equal(t, ok, false)
	close(goOn)
	test.Eventually(t, "args has ended", func() bool { return len(l.args) == 1 })
	var got error
	l.finish(func(err error) { got = err })
	test.Is(t, got, ErrClosed)
}

// The same, where the argument was taken just before the close.
func TestLoopThatSeesTheCloseBeforeATaskEndsWithAnError(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	goOn := make(chan struct{})
	l := p.startLoop(test.Context(t), func(func(deed) bool) { <-goOn }, false)
	taken := p.begin(l.ctx, echo(1), true)
	test.Check(t, p.Close())
	_, ok := l.next()
	test.Equal(t, ok, false)
	l.start(echo(1), taken, false)
	close(goOn)
	test.Eventually(t, "args has ended", func() bool { return len(l.args) == 1 })
	var got error
	l.finish(func(err error) { got = err })
	test.Is(t, got, ErrClosed)
}
