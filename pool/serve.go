package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/unwind"
)

// workerArgs is what a worker gets.
type workerArgs struct {
	Tasks                 *gipc.Duplex[[]byte, []byte]
	Config                []byte
	ArgCodec, ResultCodec string
	PerWorker             int
	MaxResult             int
	MaxMemory             uint64
}

// run decodes an argument, calls decoded when that is done, runs the task, and appends the encoded result to out. Errors that
// are about the argument or the result are *valueError.
type run func(ctx context.Context, arg []byte, decoded func(), out []byte) ([]byte, error)

// surviveSignals keeps the signals that a service manager or a terminal sends to all processes of a service from ending this
// one, so that the pool decides when it ends. The signals' actions are not ignored, which programs that a task starts would
// inherit. It returns a function that undoes it.
func surviveSignals() (undo func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	return func() { signal.Stop(signals) }
}

// serve opens the task and runs what the pool sends.
func serve(ctx context.Context, args workerArgs, open func(ctx context.Context) (run, error)) error {
	var last cleanups
	defer last.run()
	ctx = context.WithValue(ctx, cleanupKey{}, &last)
	fn, err := open(ctx)
	if err != nil {
		return err
	}
	s := &server{
		ctx: context.WithoutCancel(ctx), pool: args.Tasks, fn: fn, tasks: map[uint64]*task{}, over: make(chan error, 1),
		alone: args.PerWorker == 1, maxResult: args.MaxResult, maxMemory: args.MaxMemory,
	}
	s.send(head(kindReady, 0))
	receiving, stop := context.WithCancel(ctx)
	err = s.run(receiving)
	stop() // after a bad message the pool is there, and others may receive
	s.cancelAll()
	s.readers.Wait()
	if err == io.EOF {
		return nil
	}
	return err
}

// server is a worker at work. The goroutine that has received a task runs it, without a switch to another one. Meanwhile
// another goroutine receives: so those that receive, or run what they have received, come and go.
type server struct {
	ctx       context.Context // never ends
	pool      *gipc.Duplex[[]byte, []byte]
	fn        run
	alone     bool // there is one task at a time
	maxResult int
	maxMemory uint64
	over      chan error // gets why nothing more can be received
	readers   sync.WaitGroup

	begun, done atomic.Uint64 // tasks, where alone is set
	watched     atomic.Bool   // watch runs

	mu      sync.Mutex
	ended   bool             // nothing more is received
	reading int              // goroutines that receive
	tasks   map[uint64]*task // that are not answered
	looked  time.Time        // when memory was last looked at
}

// task is one that the pool has sent.
type task struct {
	id  uint64
	ctx *taskCtx
	arg *[]byte // the whole message, until the argument is decoded; body is in it

	mu   sync.Mutex
	body []byte // nil when the task runs or is dropped
}

// lookInterval is how often a worker looks whether a task takes long, so that another goroutine has to receive.
const lookInterval = 10 * time.Millisecond

// patientLooks is how often in a row a worker finds nothing to do until it looks no more.
const patientLooks = 10

// run receives and runs what the pool sends, until ctx ends or the pool is gone.
func (s *server) run(ctx context.Context) error {
	go s.receive(ctx)
	err := <-s.over
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	return err
}

// join counts a goroutine that is about to receive. It returns false when there is nothing more to receive.
func (s *server) join() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.readers.Add(1)
	}
	return !s.ended
}

// watch receives when a task takes long, to hear that it is cancelled. A timer for each task would cost more than most tasks: it
// wakes a thread. Watch ends when there has been no task for a while.
func (s *server) watch(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for seen, looks := uint64(0), 0; looks < patientLooks || s.resume(); looks++ {
		<-ticker.C
		begun := s.begun.Load()
		switch {
		case begun != seen:
			seen, looks = begun, 0
		case s.done.Load() != begun:
			ticker.Stop()
			s.watched.Store(false) // what this goroutine runs from here is another one's to watch
			s.receive(ctx)
			return
		}
	}
}

// resume says whether watch has to go on, because a task has begun that relies on it.
func (s *server) resume() bool {
	s.watched.Store(false)
	return s.begun.Load() != s.done.Load() && s.watched.CompareAndSwap(false, true)
}

// begin says whether the calling goroutine is to receive: another one may do so.
func (s *server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading > 0 {
		return false
	}
	s.reading++
	return true
}

// receive receives messages while no other goroutine does, and handles them.
func (s *server) receive(ctx context.Context) {
	if !s.join() {
		return
	}
	defer s.readers.Done()
	for s.begin() {
		b := takeBuffer()
		var t *task
		err := s.pool.GetInto(ctx, b)
		if err == nil {
			t, err = s.handle(b)
		} else {
			err = io.EOF // asked to end, or nobody is there any more
		}
		s.mu.Lock()
		s.reading-- // only now: what a message says must be known when the next one is handled
		s.mu.Unlock()
		if err != nil {
			select {
			case s.over <- err:
			default:
			}
			return
		}
		if t != nil {
			s.work(ctx, t)
		}
	}
}

// handle does what a message says, but for running a task, which it returns. The message's memory is its own from here.
func (s *server) handle(b *[]byte) (run *task, err error) {
	k, id, body, err := parseHead(*b)
	if err != nil {
		return nil, err
	}
	switch k {
	case kindTask, kindArg: // the memory is the task's
		deadline, arg, err := parseDeadline(body)
		if err != nil {
			return nil, err
		}
		t := &task{id: id, arg: b, body: arg, ctx: newTaskCtx(s.ctx, deadline)}
		s.mu.Lock()
		s.tasks[id] = t
		s.mu.Unlock()
		if k == kindTask {
			run = t
		}
		return run, nil
	case kindRun:
		run = s.find(id)
	case kindCancel:
		s.cancel(id, body)
	default:
		return nil, fmt.Errorf("gipc/pool: a message of unknown kind %d", k)
	}
	returnBuffer(b)
	return run, nil
}

func (s *server) find(id uint64) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks[id]
}

// cancel ends the ctx of a task, or drops the task if it doesn't run yet. It may have been answered already.
func (s *server) cancel(id uint64, body []byte) {
	t := s.find(id)
	if t == nil {
		return
	}
	t.ctx.end(parseCancel(body))
	if t.take() != nil {
		t.release()
		s.answer(t, head(kindDropped, id))
	}
}

// take returns the encoded argument to the first who asks.
func (t *task) take() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	body := t.body
	t.body = nil
	return body
}

func (s *server) cancelAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks {
		t.ctx.end(whyClosed, ErrClosed)
	}
}

// release gives the argument's memory back.
func (t *task) release() {
	b := t.arg
	t.arg = nil
	returnBuffer(b)
}

// work runs a task and answers it. A panic ends the process, which tells the pool. Meanwhile another goroutine receives.
func (s *server) work(ctx context.Context, t *task) {
	arg := t.take()
	if arg == nil {
		return // it was dropped
	}
	if s.alone {
		s.begun.Add(1)
		defer s.done.Add(1)
		if s.watched.CompareAndSwap(false, true) {
			go s.watch(ctx)
		}
	} else {
		go s.receive(ctx)
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		if goexits, panics := unwind.Reason(); goexits && !panics {
			s.answer(t, failureMessage(t.id, errGoexit))
			go s.receive(ctx)
		}
	}()
	out := takeBuffer()
	*out = append((*out)[:0], head(kindResult, t.id)...)
	b, err := s.fn(t.ctx, arg, t.release, *out)
	returned = true
	switch {
	case err != nil:
		s.answer(t, failureMessage(t.id, err))
	case len(b)-headSize > s.maxResult:
		s.answer(t, failureMessage(t.id, &valueError{tooLarge("result", "MaxResult", len(b)-headSize, s.maxResult)}))
	default:
		*out = b
		s.answer(t, b)
	}
	returnBuffer(out)
	s.lookAtMemory()
}

var errGoexit = errors.New("the task called runtime.Goexit")

func (s *server) answer(t *task, message []byte) {
	s.mu.Lock()
	delete(s.tasks, t.id)
	s.mu.Unlock()
	t.ctx.end(whyCanceled, context.Canceled) // lets go of what was derived from it
	s.send(message)
}

// send ignores errors: they say that the pool is gone, and receive finds out.
func (s *server) send(message []byte) { _ = s.pool.Put(s.ctx, message) }

// memoryInterval is how often memory is looked at, at most.
const memoryInterval = 100 * time.Millisecond

// lookAtMemory tells the pool when there is too much in memory, even after all that is unused was given back.
func (s *server) lookAtMemory() {
	if s.maxMemory == 0 {
		return
	}
	s.mu.Lock()
	due := time.Since(s.looked) >= memoryInterval
	if due {
		s.looked = time.Now()
	}
	s.mu.Unlock()
	if !due || !s.tooMuch() {
		return
	}
	debug.FreeOSMemory()
	if s.tooMuch() {
		s.send(head(kindWorn, 0))
	}
}

func (s *server) tooMuch() bool {
	used, err := proc.ResidentMemory()
	return err == nil && used > s.maxMemory
}

// taskCtx is the ctx of a task: the pool decides when it ends, and why. It has a deadline for those who ask, but no timer.
type taskCtx struct {
	context.Context // carries the cause
	cancel          context.CancelCauseFunc
	deadline        time.Time // zero: none
	done            chan struct{}

	mu  sync.Mutex
	err error
}

func newTaskCtx(parent context.Context, deadline time.Time) *taskCtx {
	c := &taskCtx{deadline: deadline, done: make(chan struct{})}
	c.Context, c.cancel = context.WithCancelCause(parent)
	return c
}

func (c *taskCtx) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func (c *taskCtx) Done() <-chan struct{} { return c.done }

func (c *taskCtx) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// end ends the ctx with a cause. Another call does nothing.
func (c *taskCtx) end(w why, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = context.Canceled
	if w == whyDeadline || w == whyTimeout {
		c.err = context.DeadlineExceeded
	}
	c.cancel(cause)
	close(c.done)
}
