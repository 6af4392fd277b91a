package pool

import (
	"context"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
)

// Result is what became of one argument of Unordered.
type Result[A, R any] struct {
	Arg   A
	Value R
	Err   error
}

// All runs the task with each of args, and yields the results in the order of args. They get their workers in this order, too. A task's
// error is yielded in its place, and the others go on. A result is yielded as soon as those before it are, also while args blocks.
//
// At most Max × PerWorker + Max arguments are taken and not yet yielded, so args may be endless. They wait for room in the queue
// where Do returns ErrQueueFull. When ctx ends or the pool is closed, the loop gets that error once, with a zero value, as
// its last element. It never ends early without one. While the pool drains, the loop's tasks finish, no further argument is
// taken, and the last element has ErrClosed.
//
// Breaking out of the loop cancels what is under way. It does not wait for args: its next yield returns false. Args runs on a
// goroutine of its own. If it panics or calls runtime.Goexit, that goes on in the loop's goroutine. A panic behind the loop's
// end ends the program.
func (p *Pool[A, R]) All(ctx context.Context, args iter.Seq[A]) iter.Seq2[R, error] {
	p.checkLoop(ctx, args)
	return func(yield func(R, error) bool) {
		p.startLoop(ctx, args, true).run(func(_ A, value R, err error) bool { return yield(value, err) })
	}
}

// Unordered is All, but yields results as they come, each with its argument.
func (p *Pool[A, R]) Unordered(ctx context.Context, args iter.Seq[A]) iter.Seq[Result[A, R]] {
	p.checkLoop(ctx, args)
	return func(yield func(Result[A, R]) bool) {
		p.startLoop(ctx, args, false).run(func(arg A, value R, err error) bool { return yield(Result[A, R]{arg, value, err}) })
	}
}

// loop is one use of All or Unordered.
type loop[A, R any] struct {
	pool   *Pool[A, R]
	outer  context.Context // the caller's
	ctx    context.Context // ends with the loop, too
	cancel context.CancelFunc

	slots chan struct{} // holds one for each argument that is taken and not yet yielded
	tasks chan *item[A] // of All in the order of args, of Unordered as they end
	taken atomic.Int64  // arguments
	args  chan argsEnd  // gets how args ended
	ended *argsEnd      // what came from there
	shut  bool          // the pool is closed: args is not waited for
	seen  int64         // tasks that came from tasks

	mu   sync.Mutex
	over bool // nobody is in the loop any more
}

type item[A any] struct {
	arg  A
	task *tasked
	over chan struct{} // closed when the task has ended
}

// argsEnd is how a user's sequence ended.
type argsEnd struct {
	panicked any // what it panicked with
	goexit   bool
	refused  *tasked // nil, or the one for which the pool took no more: that ended it
}

func (p *Pool[A, R]) startLoop(ctx context.Context, args iter.Seq[A], ordered bool) *loop[A, R] {
	o := p.core.opts
	room := o.Max*o.PerWorker + o.Max
	l := &loop[A, R]{
		pool: p, outer: ctx,
		slots: make(chan struct{}, room), tasks: make(chan *item[A], room), args: make(chan argsEnd, 1),
	}
	l.ctx, l.cancel = context.WithCancel(ctx)
	go l.take(args, ordered)
	return l
}

// run yields what becomes of the tasks. Then what ended args goes on here, unless yield has panicked or called Goexit itself.
func (l *loop[A, R]) run(yield func(A, R, error) bool) {
	l.yieldAll(yield)
	l.resume()
}

func (l *loop[A, R]) yieldAll(yield func(A, R, error) bool) {
	defer l.end()
	last := func(err error) {
		var arg A
		var value R
		yield(arg, value, err)
	}
	for {
		item, ok := l.next()
		if !ok {
			l.finish(last)
			return
		}
		value, err := l.pool.end(item.task)
		if isLast(item.task.err) { // nothing of the loop goes on any more
			last(err)
			return
		}
		if !yield(item.arg, value, err) {
			return
		}
		l.yielded()
	}
}

// take runs args, on a goroutine of its own, and starts a task for each argument: behind those before it in the queue, so that All
// never waits for one that others of the loop hold up. The first argument that the pool doesn't take ends args.
func (l *loop[A, R]) take(args iter.Seq[A], ordered bool) {
	var end argsEnd
	returned := false
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !returned && !l.over {
			end.panicked = recover()
			end.goexit = end.panicked == nil
		}
		l.args <- end
	}()
	if l.slot() {
		for arg := range args {
			if l.ctx.Err() != nil {
				break
			}
			t := l.pool.begin(l.ctx, arg, true)
			if t.err == ErrClosed {
				end.refused = t
				break
			}
			l.start(arg, t, ordered)
			if !l.slot() {
				break
			}
		}
	}
	returned = true
}

// slot waits until one more argument may be taken. It returns false when the loop has ended.
func (l *loop[A, R]) slot() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// start runs a task that has begun. There is room in tasks: it has a slot.
func (l *loop[A, R]) start(arg A, t *tasked, ordered bool) {
	it := &item[A]{arg, t, make(chan struct{})}
	l.taken.Add(1)
	if ordered {
		l.tasks <- it
	}
	go func() {
		it.task.run(l.ctx, l.pool.core)
		close(it.over)
		if !ordered {
			l.tasks <- it
		}
	}()
}

// yielded makes room for another argument.
func (l *loop[A, R]) yielded() { <-l.slots }

// next waits for the next task to be yielded. It returns false when there is none any more, or ctx has ended.
func (l *loop[A, R]) next() (*item[A], bool) {
	for l.ctx.Err() == nil && (l.ended == nil && !l.shut || l.seen < l.taken.Load()) {
		args, shut := l.args, l.pool.core.shut
		if l.ended != nil {
			args = nil
		}
		if l.shut {
			shut = nil
		}
		select {
		case it := <-l.tasks:
			l.seen++
			select {
			case <-it.over:
				return it, true
			case <-l.ctx.Done():
			}
		case end := <-args:
			l.ended = &end
		case <-shut:
			l.shut = true
		case <-l.ctx.Done():
		}
	}
	return nil, false
}

// isLast says whether a task's error is one that ends a loop.
func isLast(err error) bool {
	_, ctxEnded := err.(*ctxError)
	return ctxEnded || err == ErrClosed
}

// finish says why a loop has no more results: the ctx's error, ErrClosed, or nothing, if all went well or args was cut short.
func (l *loop[A, R]) finish(fail func(error)) {
	l.note()
	switch {
	case l.outer.Err() != nil:
		fail(l.pool.explain(endOf(l.outer)))
	case l.ended != nil && l.ended.refused != nil:
		_, err := l.pool.end(l.ended.refused)
		fail(err)
	case l.ended == nil || l.seen < l.taken.Load():
		fail(l.pool.explain(ErrClosed))
	}
}

// resume goes on with what ended args.
func (l *loop[A, R]) resume() {
	switch {
	case l.ended == nil:
	case l.ended.panicked != nil:
		panic(l.ended.panicked)
	case l.ended.goexit:
		runtime.Goexit()
	}
}

// end cancels what is under way. What args does from here is nobody's business, but if it has panicked by now, run has to know.
func (l *loop[A, R]) end() {
	l.cancel()
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.note()
}

// note takes how args has ended, if it has.
func (l *loop[A, R]) note() {
	select {
	case end := <-l.args:
		l.ended = &end
	default:
	}
}
