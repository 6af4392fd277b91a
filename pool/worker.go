package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-gipc/gipc"
)

// child is a process that serves a task: a *gipc.Process, or goroutines of this one.
type child interface {
	PID() int
	Done() <-chan struct{}
	Wait(ctx context.Context) error
	KillCause(cause error) error
}

const (
	// dying is how long a worker whose channel has ended may take to end: most often the channel ended because the process does.
	dying = 100 * time.Millisecond

	// drainTime is how long what a worker sent before its end is read, where another process holds its channel open.
	drainTime = time.Second

	maxError = 1 << 20 // bytes of a message with an error in it, whatever MaxArg and MaxResult are
)

// process acts for a worker. It has one goroutine while the worker lives. What the worker says is read by those who wait for it.
type process struct {
	pool   *core
	w      *worker
	ctx    context.Context // the worker is asked to end when it ends
	cancel context.CancelCauseFunc
	broken chan error // why its channel can't be used

	child child // set before the worker takes tasks

	channel atomic.Pointer[gipc.Duplex[[]byte, []byte]] // nil while it starts
}

// hire returns what acts for w.
func (p *core) hire(w *worker) hands {
	h := &process{pool: p, w: w, broken: make(chan error, 1)}
	h.ctx, h.cancel = context.WithCancelCause(context.Background())
	return h
}

func (h *process) begin() { go h.live() }

func (h *process) end(why error) {
	h.cancel(why)
	if ch := h.channel.Load(); ch != nil && why == ErrClosed {
		_ = ch.CloseNow() // nobody waits any more for what is being sent or received
	}
}

func (h *process) broke(why error) {
	select {
	case h.broken <- why:
	default:
	}
}

func (h *process) kill(why error) {
	_ = h.child.KillCause(why) // it may have ended
}

// workerName is what its process is called.
func (p *core) workerName() string { return cmp.Or(p.opts.Spawn.Name, p.name) }

// live runs the worker from its start to its end.
func (h *process) live() {
	err := h.run()
	h.cancel(nil)
	var exit *gipc.ExitError
	if !errors.As(err, &exit) {
		exit = &gipc.ExitError{Name: h.pool.workerName(), PID: h.w.pid}
	}
	if exit.Asked || errors.Is(err, ErrClosed) {
		err = nil
	}
	h.pool.hasEnded(h.w, exit, err)
}

// run starts the worker, waits for its end, and reads what is left of what it said.
func (h *process) run() error {
	o := &h.pool.opts
	began := time.Now()
	mine, theirs, err := gipc.NewDuplex(
		&gipc.Options[[]byte]{Codec: gipc.Raw{}, MaxMessage: max(o.MaxResult, maxError) + headSize, Shared: o.Shared},
		&gipc.Options[[]byte]{Codec: gipc.Raw{}, MaxMessage: max(o.MaxArg, maxError) + taskHeadSize, Shared: o.Shared},
	)
	if err != nil {
		return err
	}
	args := h.pool.args
	args.Tasks = theirs
	started, err := h.pool.launch(h.ctx, args)
	if err != nil {
		_, _ = mine.CloseNow(), theirs.CloseNow()
		return err
	}
	defer func() { _ = mine.CloseNow() }() // it may be closed
	h.started(started, mine)
	if err := h.awaitReady(began); err != nil {
		h.endBroken(started, err)
	} else {
		select {
		case <-started.Done():
		case why := <-h.broken:
			h.endBroken(started, why)
		}
	}
	h.readRest()
	err = started.Wait(context.Background())
	if err == nil && h.ctx.Err() == nil {
		err = &gipc.ExitError{Name: h.pool.workerName(), PID: started.PID()} // os.Exit(0)
	}
	return err
}

func (h *process) started(c child, ch *gipc.Duplex[[]byte, []byte]) {
	h.child = c
	h.pool.mu.Lock()
	h.w.pid, h.w.channel = c.PID(), ch
	h.pool.reportEvent(h.w, Event{Kind: EventStarted})
	h.pool.unlock()
	h.channel.Store(ch)
	if context.Cause(h.ctx) == ErrClosed {
		h.end(ErrClosed) // it was told before it had a channel
	}
}

// awaitReady waits until the worker says that it is ready. An error says that it won't.
func (h *process) awaitReady(began time.Time) error {
	limit := h.pool.opts.Spawn.StartTimeout
	ctx, cancel := context.WithDeadline(h.ctx, began.Add(limit))
	defer cancel()
	message, err := h.w.channel.Get(ctx)
	switch {
	case h.ctx.Err() != nil:
		return context.Cause(h.ctx)
	case ctx.Err() != nil:
		return &fatalError{fmt.Errorf("%w: the function given to RegisterWith did not return within %v", gipc.ErrNotReady, limit)}
	case err != nil:
		return readError(err)
	}
	if k, _, _, err := parseHead(message); err != nil || k != kindReady {
		return &fatalError{errors.New("it broke the protocol of a worker: it did not say that it is ready")}
	}
	h.pool.mu.Lock()
	h.pool.ready(h.w, time.Now())
	h.pool.unlock()
	return nil
}

// readRest reads what a worker had sent before its end. Another process may hold its channel open: then it gives up.
func (h *process) readRest() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	select {
	case h.w.receiving <- struct{}{}: // nobody gets in any more
		for h.pool.receive(ctx, h.w) == nil {
		}
	case <-ctx.Done(): // who receives finds out that the worker has ended
	}
}

// endBroken waits for the end of a worker whose channel has ended, and kills it if it wasn't ending.
func (h *process) endBroken(c child, why error) {
	patience := dying
	if h.ctx.Err() != nil {
		patience = h.pool.opts.Spawn.Grace + dying // it was asked to end, and is killed at the end of its grace
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var bad *fatalError
	if !errors.As(why, &bad) {
		select {
		case <-c.Done():
			return
		case <-timer.C:
		}
	}
	_ = c.KillCause(why) // it may have ended
	<-c.Done()
}

// fatalError is why a worker is killed at once.
type fatalError struct{ error }

func (e *fatalError) Unwrap() error { return e.error }

// receive takes one message of a worker. The caller holds w.receiving. Any error but the ctx's says that
// the worker's channel can't be used any more.
func (p *core) receive(ctx context.Context, w *worker) error {
	buf := takeBuffer()
	if err := w.channel.GetInto(ctx, buf); err != nil {
		returnBuffer(buf)
		return readError(err)
	}
	k, id, body, err := parseHead(*buf)
	if err == nil && len(body) > p.opts.MaxResult && k == kindResult {
		err = tooLarge("result", "MaxResult", len(body), p.opts.MaxResult)
	}
	kept := false
	if err == nil {
		p.mu.Lock()
		kept, err = p.received(w, k, id, body, buf, time.Now())
		p.unlock()
	}
	if !kept {
		returnBuffer(buf)
	}
	if err != nil {
		return &fatalError{fmt.Errorf("it broke the protocol of a worker: %w", err)}
	}
	return nil
}

// receiveFor takes what c's worker says until c is answered or ctx ends. It returns an error if the worker's channel can't be
// used any more.
func (p *core) receiveFor(ctx context.Context, c *call) error {
	for len(c.wake) == 0 {
		err := p.receive(ctx, c.worker)
		if err != nil && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			p.mu.Lock()
			p.brokeOff(c.worker, err, time.Now())
			p.unlock()
			return err
		}
	}
	return nil
}

// readError says what the end of a worker's channel means.
func readError(err error) error {
	var size *gipc.TooLargeError
	if errors.As(err, &size) || errors.Is(err, gipc.ErrFrame) {
		return &fatalError{fmt.Errorf("it broke the protocol of a worker: %w", err)}
	}
	return fmt.Errorf("its channel ended: %w", err)
}

// here is a worker on goroutines of this process.
type here struct {
	name string
	args workerArgs
	done chan struct{}
	once sync.Once
	err  error // set before done is closed
}

// launchHere runs serve. When ctx ends it has the grace to end, and is abandoned otherwise.
func launchHere(ctx context.Context, name string, grace time.Duration, args workerArgs, serve func(context.Context, workerArgs) error) child {
	h := &here{name: name, args: args, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { _ = h.KillCause(errors.New("it did not stop within its grace")) })
		<-h.done
		timer.Stop()
	})
	go func() {
		defer stop()
		defer h.end(errGoexit)
		h.end(serve(ctx, args))
	}()
	return h
}

// end closes the worker's ends and notes how it ended. Later calls do nothing.
func (h *here) end(err error) {
	h.once.Do(func() {
		if err != nil {
			_ = h.args.Tasks.CloseNow()
			h.err = &gipc.ExitError{Name: h.name, PID: h.PID(), Code: 1, Err: err}
		} else {
			_ = h.args.Tasks.Close()
		}
		close(h.done)
	})
}

func (h *here) PID() int { return os.Getpid() }

func (h *here) Done() <-chan struct{} { return h.done }

func (h *here) Wait(ctx context.Context) error {
	select {
	case <-h.done:
		return h.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *here) KillCause(cause error) error {
	h.end(cause)
	return nil
}
