package gipcnats

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"
)

// All runs the task with each of args, and yields the results in the order of args. A task's error is yielded in its place, and
// the others go on. A result is yielded as soon as those before it are, also while args blocks.
//
// At most Options.Window arguments are taken and not yet yielded, so args may be endless. They wait for room in the stream where
// Do returns pool.ErrQueueFull. When ctx ends or the client is closed, the loop gets that error once, with a zero value, as its
// last element. It never ends early without one.
//
// Breaking out of the loop cancels what is under way. It does not wait for args: its next yield returns false. Args runs on a
// goroutine of its own. If it panics or calls runtime.Goexit, that goes on in the loop's goroutine. A panic behind the loop's
// end ends the program.
func (c *Client[A, R]) All(ctx context.Context, args iter.Seq[A]) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		ctx, stop := either(ctx, c.core.ctx)
		defer stop()
		l := newLoop(ctx, c)
		go l.take(args)
		l.run(yield)
	}
}

// loop is one use of All.
type loop[A, R any] struct {
	client *Client[A, R]
	ctx    context.Context // ends with the loop, its caller's ctx and the client
	slots  chan struct{}   // holds one for each argument that is taken and not yet yielded
	items  chan *item[R]   // in the order of args. Closed when args has ended

	mu       sync.Mutex
	over     bool // nobody is in the loop any more
	panicked any  // what args panicked with before that, and whether it called Goexit
	goexit   bool
}

func newLoop[A, R any](ctx context.Context, c *Client[A, R]) *loop[A, R] {
	window := c.core.opts.Window
	return &loop[A, R]{client: c, ctx: ctx, slots: make(chan struct{}, window), items: make(chan *item[R], window)}
}

// item is one task.
type item[R any] struct {
	over  chan struct{} // closed when value and err are there
	value R
	err   error
}

// take runs args and starts a task for each argument.
func (l *loop[A, R]) take(args iter.Seq[A]) {
	returned := false
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !returned && !l.over { // behind the loop's end nobody is there to tell: a panic ends the program
			l.panicked = recover()
			l.goexit = l.panicked == nil
		}
		close(l.items)
	}()
	if l.slot() {
		for arg := range args {
			if l.ctx.Err() != nil {
				break
			}
			l.start(arg)
			if !l.slot() {
				break
			}
		}
	}
	returned = true
}

// slot waits until one more argument may be taken. It returns false when ctx has ended.
func (l *loop[A, R]) slot() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// start starts a task. There is room in items: it has a slot.
func (l *loop[A, R]) start(arg A) {
	it := &item[R]{over: make(chan struct{})}
	l.items <- it
	go func() {
		defer close(it.over)
		it.value, it.err = l.client.do(l.ctx, arg, true)
	}()
}

// run yields the results. Then what args has panicked with goes on here, or its Goexit, unless yield has done either itself.
func (l *loop[A, R]) run(yield func(R, error) bool) {
	l.yieldAll(yield)
	switch {
	case l.panicked != nil:
		panic(l.panicked)
	case l.goexit:
		runtime.Goexit()
	}
}

func (l *loop[A, R]) yieldAll(yield func(R, error) bool) {
	defer l.end()
	for {
		it, ok := l.next()
		if l.ctx.Err() != nil {
			var zero R
			yield(zero, fmt.Errorf("gipcnats: task %s: %w", l.client.task.Name(), causeOf(l.ctx)))
			return
		}
		if !ok {
			return
		}
		<-l.slots
		if !yield(it.value, it.err) {
			return
		}
	}
}

// next waits for the next task to end, or for ctx. It returns false when args has ended and all tasks have.
func (l *loop[A, R]) next() (*item[R], bool) {
	select {
	case it, ok := <-l.items:
		if !ok {
			return nil, false
		}
		select {
		case <-it.over:
		case <-l.ctx.Done():
		}
		return it, true
	case <-l.ctx.Done():
		return nil, false
	}
}

// end is where the loop is left, by whatever way. What args does from here is nobody's business.
func (l *loop[A, R]) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}
