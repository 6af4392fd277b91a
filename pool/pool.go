// Package pool runs tasks in worker processes. Give a value to a function in another process, get its result, and stay alive
// whatever dies there:
//
//	var resize = pool.Register("resize", func(ctx context.Context, job Job) (Image, error) { … })
//
//	func main() {
//		gipc.Init()
//		p, err := pool.New(resize, nil)
//		…
//		img, err := p.Do(ctx, job)                        // one task
//		for img, err := range p.All(ctx, jobs) { … }      // many
//		img, err = pool.Run(ctx, resize, job, nil)        // a process for this one task
//	}
//
// Whatever happens to a worker, every Do returns: with the result, or with the reason why there is none. A worker that crashes,
// is killed or runs out of memory costs the task that was on it, and nothing else: a fresh worker takes its place.
//
// # Errors
//
// Do returns the ctx's error if its ctx has ended, [ErrTimeout], [ErrClosed], [ErrQueueFull], or one of these:
//   - a [*TaskError], if the function failed. The worker goes on;
//   - a [*WorkerError], if the worker died under the task, with the [*gipc.ExitError] that says how;
//   - a [*StartError], if no worker can be started;
//   - an error that wraps a [*gipc.EncodeError] or [*gipc.TooLargeError], if the argument can't be sent.
//
// What a task did wrong is always a *TaskError or a *WorkerError, the caller's own ctx never is. So errors.As tells a
// context.Canceled that the function returned from one's own.
//
// # At most once
//
// A task runs at most once, unless Options.Retries is set: where a worker dies under a task, nobody knows how far it got. A
// task whose argument had not reached a worker that died has not begun, and goes to another one.
package pool

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/proc"
)

// Pool runs one task in worker processes. New makes it; the methods of the zero value panic. They may be called from any
// number of goroutines at once.
type Pool[A, R any] struct {
	task *Task[A, R]
	core *core
}

// New returns a Pool of the task t, and starts Options.Min workers without waiting for them. The options, and nil, may be
// shared by any number of pools. Close or Drain the pool when it is not needed any more: until then it holds processes and
// goroutines.
//
// New fails if the options make no sense, if an argument or result of these types can't be sent by the task's codecs, if a codec
// is neither gipc's nor known to [gipc.RegisterCodec], and with [gipc.ErrNotInitialized] if gipc.Init was not called.
func New[A, R any](t *Task[A, R], opts *Options) (*Pool[A, R], error) {
	p, err := newPool(t, opts, false)
	if err != nil {
		return nil, fmt.Errorf("gipc/pool: new pool of %s: %w", t.name, err)
	}
	return p, nil
}

func newPool[A, R any](t *Task[A, R], opts *Options, once bool) (*Pool[A, R], error) {
	if t == nil || t.entry == nil {
		panic("gipc/pool: New got no Task: Register makes one")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	err := o.resolve()
	if err == nil {
		err = t.check()
	}
	if err == nil && !o.InProcess && !proc.Initialized.Load() {
		err = gipc.ErrNotInitialized
	}
	if err != nil {
		return nil, err
	}
	args := workerArgs{
		Config: t.config, ArgCodec: t.arg.Name(), ResultCodec: t.result.Name(),
		PerWorker: o.PerWorker, MaxResult: o.MaxResult, MaxMemory: o.MaxMemory,
	}
	p := &Pool[A, R]{task: t, core: newCore(t.name, o, args, once)}
	spawn := p.core.opts.Spawn
	p.core.launch = func(ctx context.Context, args workerArgs) (child, error) {
		return gipc.Spawn(ctx, t.entry, args, spawn)
	}
	if o.InProcess {
		p.core.launch = func(ctx context.Context, args workerArgs) (child, error) {
			return launchHere(ctx, t.name, p.core.opts.Grace, args, t.serve), nil
		}
	}
	p.core.mu.Lock()
	p.core.unlock()
	return p, nil
}

// Task returns the pool's task.
func (p *Pool[A, R]) Task() *Task[A, R] {
	p.mustBeMade()
	return p.task
}

// Do runs the task with arg in a worker and returns its result. It waits while all workers have enough to do. It returns
// promptly when ctx ends: a task that waits then never runs, and the ctx of one that runs ends too. Options.Grace later its
// worker is killed if the function has not returned.
//
// The errors are listed in the package's documentation.
func (p *Pool[A, R]) Do(ctx context.Context, arg A) (R, error) {
	p.check(ctx)
	t := p.begin(ctx, arg, false)
	t.run(ctx, p.core)
	return p.end(t)
}

// tasked is one task on its way through Do.
type tasked struct {
	call   call
	info   TaskInfo
	answer answer
	err    error
}

// begin encodes the argument, on its caller's goroutine, and puts the task into the queue. A patient one waits until there is
// room for it.
func (p *Pool[A, R]) begin(ctx context.Context, arg A, patient bool) *tasked {
	t := &tasked{call: call{message: takeBuffer(), wake: make(chan struct{}, 1)}}
	c := &t.call
	*c.message = append((*c.message)[:0], make([]byte, taskHeadSize)...)
	b, err := encode(p.task.arg, *c.message, arg)
	if err != nil {
		t.err = fmt.Errorf("argument: %w", err)
		return t
	}
	*c.message = b
	c.large = len(b) > atomicSize
	if n := len(b) - taskHeadSize; n > p.core.opts.MaxArg {
		t.err = tooLarge("argument", "MaxArg", n, p.core.opts.MaxArg)
		return t
	}
	t.err = p.core.enter(ctx, c, patient)
	return t
}

// run waits for what becomes of the task, if begin has put it into the queue.
func (t *tasked) run(ctx context.Context, p *core) {
	if t.err == nil {
		t.answer, t.err = p.do(ctx, &t.call, &t.info)
	}
}

// end decodes the result, on its caller's goroutine, and tells OnTask.
func (p *Pool[A, R]) end(t *tasked) (result R, err error) {
	defer func() {
		returnBuffer(t.answer.buf)
		if report := p.core.opts.OnTask; report != nil {
			t.info.Task, t.info.Err = p.task.name, err
			report(t.info)
		}
	}()
	returnBuffer(t.call.message)
	if t.err != nil {
		return result, p.explain(t.err)
	}
	if t.answer.kind == kindFailure {
		failed, err := parseFailure(t.answer.body)
		if err != nil {
			failed = err
		}
		return result, &TaskError{Task: p.task.name, Err: failed}
	}
	if err := decode(p.task.result, t.answer.body, &result); err != nil {
		var zero R
		return zero, &TaskError{Task: p.task.name, Err: fmt.Errorf("result: %w", err)}
	}
	return result, nil
}

// explain says what went wrong, and where.
func (p *Pool[A, R]) explain(err error) error {
	switch e := err.(type) {
	case *WorkerError:
		return e
	case *StartError:
		return &StartError{Task: p.task.name, Failures: e.Failures, Err: e.Err}
	}
	return fmt.Errorf("gipc/pool: task %s: %w", p.task.name, err)
}

// Run runs the task with arg in a process of its own and returns its result. It returns the errors of Do. A process that can't
// be started is not tried again. When ctx ends, Run returns at once; the process then ends within its grace, which is
// opts.Grace, or 1 s.
func Run[A, R any](ctx context.Context, t *Task[A, R], arg A, opts *gipc.SpawnOptions) (R, error) {
	mustBeContext(ctx)
	o := Options{Max: 1, Min: -1, Spawn: opts} // the process starts with the task
	if opts != nil {
		o.Grace = opts.Grace
	}
	p, err := newPool(t, &o, true)
	if err != nil {
		var zero R
		return zero, fmt.Errorf("gipc/pool: run %s: %w", t.name, err)
	}
	result, err := p.Do(ctx, arg)
	if endErr := closeUntil(ctx, p); err == nil {
		err = endErr
	}
	return result, err
}

// closeUntil closes a pool, and waits for that until ctx ends. Then nobody is told how it went.
func closeUntil[A, R any](ctx context.Context, p *Pool[A, R]) error {
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// WaitReady waits until Options.Min workers can take tasks. It returns a *StartError if they can't be started, and the ctx's
// error when ctx ends.
func (p *Pool[A, R]) WaitReady(ctx context.Context) error {
	p.check(ctx)
	c := p.core
	c.mu.Lock()
	err := c.waitOpen(ctx, func() bool { return c.state == open && c.n[phaseTaking] >= c.opts.Min })
	if err != nil {
		return p.explain(err)
	}
	return nil
}

// Drain makes the pool take no more tasks, waits until those that it has have ended, and ends the workers. When ctx ends, Drain
// returns its error, and the pool goes on draining. Close cuts it short.
func (p *Pool[A, R]) Drain(ctx context.Context) error {
	p.check(ctx)
	c := p.core
	c.mu.Lock()
	c.state = max(c.state, draining)
	for _, room := range c.rooms {
		close(room)
	}
	c.rooms = nil
	c.unlock()
	select {
	case <-c.allEnded:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-c.allEnded: // both at once: it is done
		return nil
	default:
		return p.explain(endOf(ctx))
	}
}

// killTime is how long a kill may take, before it counts as without effect.
const killTime = 4 * time.Second

// Close ends the pool. All calls return ErrClosed at once. The workers are asked to end, and killed after Options.Grace. Close
// returns when all processes have ended, each time that it is called. It doesn't wait for OnEvent, OnTask and Logger, so that
// they may call it. If a kill has no effect within 4 s, Close returns an error that names the processes.
func (p *Pool[A, R]) Close() error {
	p.mustBeMade()
	c := p.core
	c.mu.Lock()
	c.closeAll()
	c.unlock()
	timer := time.NewTimer(c.opts.Spawn.Grace + killTime)
	defer timer.Stop()
	select {
	case <-c.allEnded:
		return nil
	case <-timer.C:
	}
	c.mu.Lock()
	var pids []string
	for _, w := range c.workers {
		pids = append(pids, fmt.Sprint(w.pid))
	}
	c.unlock()
	slices.Sort(pids)
	return fmt.Errorf("gipc/pool: close pool of %s: workers live on though they were killed: %s", p.task.name, strings.Join(pids, ", "))
}

// Replace replaces all workers by fresh ones, one after the other: each is told to end only when its successor is ready. No
// task is refused or lost. Calls at the same time wait for each other. Replace returns a *StartError if a worker can't be
// started, and the ctx's error when ctx ends. Those that were not replaced stay.
func (p *Pool[A, R]) Replace(ctx context.Context) error {
	p.check(ctx)
	c := p.core
	select {
	case c.replace <- struct{}{}:
	case <-ctx.Done():
		return p.explain(endOf(ctx))
	}
	defer func() { <-c.replace }()
	c.mu.Lock()
	old := slices.Clone(c.workers)
	c.unlock()
	for _, w := range old {
		if err := c.replaceOne(ctx, w); err != nil {
			return p.explain(err)
		}
	}
	return nil
}

func (p *core) replaceOne(ctx context.Context, w *worker) error {
	p.mu.Lock()
	p.wear(w, ReasonReplaced)
	err := p.waitOpen(ctx, func() bool { return w.phase > phaseTaking })
	if err != nil {
		p.mu.Lock()
		p.keep(w)
		p.unlock()
	}
	return err
}

// waitOpen waits as wait does. It also fails when the pool takes no more tasks, or gives up to start workers.
func (p *core) waitOpen(ctx context.Context, reached func() bool) error {
	gaveUp := p.gaveUp
	var err error
	waitErr := p.wait(ctx, func() bool {
		switch {
		case reached():
			err = nil
		case p.state != open:
			err = ErrClosed
		case p.gaveUp > gaveUp:
			err = p.startError()
		default:
			return false
		}
		return true
	})
	return cmp.Or(waitErr, err)
}

// Stats returns counters. It may be called at any time.
func (p *Pool[A, R]) Stats() Stats {
	p.mustBeMade()
	c := p.core
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Workers, s.Idle, s.Waiting = len(c.workers), len(c.idle), len(c.queue)
	for _, w := range c.workers {
		s.Running += len(w.calls)
	}
	return s
}

// Available returns how many tasks would start at once now: on workers that are there, or that would be started for them.
func (p *Pool[A, R]) Available() int {
	p.mustBeMade()
	c := p.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != open {
		return 0
	}
	free := 0
	if c.failures == 0 {
		free = max(0, c.opts.Max-c.n[phaseTaking]) * c.opts.PerWorker
	}
	for _, w := range c.workers {
		if w.phase == phaseTaking {
			free += c.opts.PerWorker - len(w.calls)
		}
	}
	return max(0, free-len(c.queue))
}

// String names the pool for messages and logs.
func (p *Pool[A, R]) String() string {
	if p.core == nil {
		return "a Pool that New did not make"
	}
	return fmt.Sprintf("pool of %s (pid %d)", p.task.name, os.Getpid())
}
