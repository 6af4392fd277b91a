package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

	// draining is how long what a worker sent before its end is read, where another process holds its channel open.
	drainTime = time.Second

	maxFailure = 1 << 20 // bytes of a failure's message
)

// process acts for a worker. It has two goroutines, while the worker lives: of these, one reads what the worker says.
type process struct {
	pool   *core
	w      *worker
	ctx    context.Context // the worker is asked to end when it ends
	cancel context.CancelCauseFunc
	broken chan error // why its channel can't be used

	mu    sync.Mutex
	child child // nil while it starts
	dead  error // why it is killed, if that was before
	out   *gipc.Writer[[]byte]
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
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.out != nil {
		_ = h.out.CloseNow() // what a Do still sends is not wanted any more
	}
}

func (h *process) broke(why error) {
	select {
	case h.broken <- why:
	default:
	}
}

func (h *process) kill(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.child == nil {
		h.dead = why
		h.cancel(why)
		return
	}
	_ = h.child.KillCause(why) // it may have ended
}

// live runs the worker from its start to its end.
func (h *process) live() {
	err := h.run()
	h.cancel(nil)
	var exit *gipc.ExitError
	if !errors.As(err, &exit) {
		exit = &gipc.ExitError{Name: h.pool.name, PID: h.w.pid}
	}
	if exit.Asked {
		err = nil
	}
	h.pool.hasEnded(h.w, exit, err)
}

// run starts the worker, reads what it says, and waits for its end.
func (h *process) run() error {
	o := &h.pool.opts
	began := time.Now()
	mine, theirs, err := gipc.NewDuplex(
		&gipc.Options[[]byte]{Codec: gipc.Raw{}, MaxMessage: max(o.MaxResult, maxFailure) + headSize},
		&gipc.Options[[]byte]{Codec: gipc.Raw{}, MaxMessage: o.MaxArg + taskHeadSize},
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
	defer mine.CloseNow()
	h.started(started, mine.Writer())

	late := time.AfterFunc(o.Spawn.StartTimeout-time.Since(began), func() {
		h.kill(fmt.Errorf("%w: the function given to RegisterWith did not return within %v", gipc.ErrNotReady, o.Spawn.StartTimeout))
	})
	defer late.Stop()
	readCtx, stopReading := context.WithCancel(context.Background())
	defer stopReading()
	read := make(chan error, 1)
	go func() { read <- h.read(readCtx, mine.Reader(), late) }()
	h.watch(started, read, stopReading)
	err = started.Wait(context.Background())
	if err == nil && h.ctx.Err() == nil {
		err = &gipc.ExitError{Name: h.pool.name, PID: started.PID()} // os.Exit(0)
	}
	return err
}

func (h *process) started(c child, out *gipc.Writer[[]byte]) {
	h.pool.mu.Lock()
	h.w.pid, h.w.out = c.PID(), out
	h.pool.reportEvent(h.w, Event{Kind: EventStarted})
	h.pool.unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.child, h.out = c, out
	if h.dead != nil {
		_ = c.KillCause(h.dead)
	}
}

// watch returns when the worker's process has ended and what it had sent is read. It kills a worker that can't be talked to.
func (h *process) watch(c child, read chan error, stopReading func()) {
	select {
	case <-c.Done():
	case why := <-h.broken:
		h.endBroken(c, why)
	case why := <-read:
		read <- why
		h.pool.mu.Lock()
		h.pool.disown(h.w, why, time.Now())
		h.pool.unlock()
		h.endBroken(c, why)
	}
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-read:
	case <-timer.C:
		stopReading()
		<-read
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
	var bad *protocolError
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

// protocolError says that a worker sent what no worker sends.
type protocolError struct{ error }

func (e *protocolError) Unwrap() error { return e.error }

// read takes what the worker says until its channel ends.
func (h *process) read(ctx context.Context, in *gipc.Reader[[]byte], late *time.Timer) error {
	for ready := false; ; {
		buf := takeBuffer()
		if err := in.GetInto(ctx, buf); err != nil {
			return h.readError(err)
		}
		k, id, body, err := parseHead(*buf)
		if err == nil && len(body) > h.pool.opts.MaxResult && k == kindResult {
			err = tooLarge("result", "MaxResult", len(body), h.pool.opts.MaxResult)
		}
		kept := false
		switch {
		case err != nil:
		case !ready && k == kindReady:
			ready = true
			late.Stop()
			h.pool.mu.Lock()
			h.pool.ready(h.w, time.Now())
			h.pool.unlock()
		case !ready:
			err = errors.New("it answered before it was ready")
		default:
			h.pool.mu.Lock()
			kept, err = h.pool.received(h.w, k, id, body, buf, time.Now())
			h.pool.unlock()
		}
		if err != nil {
			return &protocolError{fmt.Errorf("it broke the protocol of a worker: %w", err)}
		}
		if !kept {
			returnBuffer(buf)
		}
	}
}

// readError says what the end of a worker's channel means.
func (h *process) readError(err error) error {
	var size *gipc.TooLargeError
	if errors.As(err, &size) || errors.Is(err, gipc.ErrFrame) {
		return &protocolError{fmt.Errorf("it broke the protocol of a worker: %w", err)}
	}
	return fmt.Errorf("its channel ended: %w", err)
}
