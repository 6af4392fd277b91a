package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// drainDelay is how long after a child's end its parent waits for the rest of its output: a grandchild may hold the
// write ends of stdout and stderr for as long as it lives.
const drainDelay = time.Second

// endingTime is how long a kill may take to end a child and all that serves it, before it counts as without effect.
const endingTime = 4 * drainDelay

// Process is a child process; Spawn makes it. Its methods may be called from any number of goroutines at once, and after
// the child has ended. Nothing needs to be released.
type Process struct {
	name string
	opts SpawnOptions
	cmd  *exec.Cmd
	job  job
	pid  int

	// group runs all that serves the child; it ends with it. served is cancelled drainDelay after the child's end.
	group   errgroup.Group
	served  context.Context
	control *control
	stderr  *tail

	told   chan struct{} // closed when begin has told the child all it has to
	asked  chan struct{} // closed to ask the child to stop
	ask    sync.Once
	exited chan struct{} // closed when the child is reaped
	ready  chan report   // the child's first report
	done   chan struct{} // closed at the very end; then err and the fields below are set
	err    error
	health *health

	mu     sync.Mutex
	reaped bool  // the pid may belong to another process
	reason error // why the child was terminated from here

	state *os.ProcessState // written before exited is closed; nil if the OS didn't tell
	last  report           // written by the group
	crash []byte           // likewise
	drain *time.Timer      // likewise: ends served
}

// serve makes the Process of a started command and starts all that serves it.
func serve(ctx context.Context, cmd *exec.Cmd, s *starter) *Process {
	p := &Process{
		name: s.opts.Name, opts: s.opts, cmd: cmd, job: s.job, pid: cmd.Process.Pid,
		control: newControl(s.pipes.reports, s.pipes.orders, maxReport), stderr: s.stdio.stderr,
		told: make(chan struct{}), asked: make(chan struct{}), exited: make(chan struct{}), done: make(chan struct{}),
		ready: make(chan report, 1), health: newHealth(),
	}
	served, cancel := context.WithCancel(context.Background())
	p.served = served

	crash := s.pipes.crash
	p.group.Go(func() error { return p.reap(cancel) })
	p.group.Go(func() error {
		<-p.told // a child may do all it has to before begin knows that it could tell it
		return nil
	})
	p.group.Go(p.readReports)
	p.group.Go(func() (err error) {
		defer crash.Close()
		defer context.AfterFunc(served, func() { _ = crash.SetReadDeadline(longAgo) })()
		p.crash, err = readCrash(crash)
		return ignoreDrained(err)
	})
	p.group.Go(func() error { return p.stopWhenTold(ctx) })
	s.stdio.serve(&p.group, served, p.exited)

	go func() {
		failure := p.group.Wait()
		p.drain.Stop()
		cancel()
		p.control.close()
		p.err = p.exitError(failure)
		close(p.done)
	}()
	return p
}

// reap waits for the child's end.
func (p *Process) reap(endService func()) error {
	ended := awaitExit(p.pid)
	if ended { // else this may take long
		p.mu.Lock()
	}
	state, err := p.cmd.Process.Wait()
	if !ended {
		p.mu.Lock()
	}
	p.reaped = true
	if err != nil { // somebody else has reaped it
		_ = p.cmd.Process.Release()
	}
	p.job.release()
	p.mu.Unlock()
	p.state = state
	close(p.exited)
	p.drain = time.AfterFunc(drainDelay, endService)
	return err
}

// readReports reads what the child says until its end.
func (p *Process) readReports() error {
	defer close(p.ready)
	for first := true; ; first = false {
		var r report
		err := p.control.receive(p.served, &r)
		switch {
		case err != nil && (p.served.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
			return nil // the child is gone
		case err != nil: // it sent nonsense: it is no child of ours any more
			return fmt.Errorf("control channel: %w", err)
		case first:
			p.ready <- r
		case r.Pong, r.Serving:
			p.health.note(r)
		default:
			p.last = r
		}
	}
}

// awaitReady tells the child what to do, waits until it is ready to, and lets it. When it fails, the child is gone.
func (p *Process) awaitReady(ctx context.Context, first hello, args []byte) error {
	err := p.begin(ctx, first, args)
	if err == nil {
		return nil
	}
	if err == errEndedEarly {
		_ = p.kill() // most likely there is nothing left to kill
	} else {
		p.fail(err)
	}
	if !p.endsSoon() || ctx.Err() != nil || !errors.Is(err, ErrNotReady) {
		return err
	}
	if p.err == nil {
		return fmt.Errorf("%w: it exited with code 0", err)
	}
	return fmt.Errorf("%w: %w", err, p.err)
}

// errEndedEarly says that a child ended by itself, or closed the control channel.
var errEndedEarly = fmt.Errorf("%w", ErrNotReady)

func (p *Process) begin(ctx context.Context, first hello, args []byte) error {
	defer close(p.told)
	sendCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a child may end, or refuse, while it is still being told
		select {
		case <-p.exited:
			cancel()
		case <-sendCtx.Done():
		}
	}()
	err := p.control.send(sendCtx, first)
	if err == nil {
		err = p.control.w.Put(sendCtx, args)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case r, ok := <-p.ready:
		if err := r.asError(ok); err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	switch err := p.control.send(ctx, order{Run: true}); {
	case err == nil, errors.Is(err, ErrPartial): // then it will arrive
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return errEndedEarly
}

func (r report) asError(received bool) error {
	switch {
	case !received:
		return errEndedEarly
	case r.Refused == refusedBuild:
		return fmt.Errorf("%w (%s)", ErrVersionMismatch, r.Text)
	case r.Refused == refusedEntrypoint:
		return fmt.Errorf("%w (it has: %s)", ErrUnknownEntrypoint, r.Text)
	case !r.Ready:
		return fmt.Errorf("%w: it can't take over its arguments: %s", ErrNotReady, r.Text)
	}
	return nil
}

// fail ends a child that is of no use any more.
func (p *Process) fail(reason error) {
	p.setReason(reason)
	_ = p.kill() // it may have ended by itself
}

// stopWhenTold stops the child when there is a reason to: first it asks, then it terminates, then it kills.
func (p *Process) stopWhenTold(ctx context.Context) error {
	var reason error
	select {
	case <-p.exited:
		return nil
	case <-p.asked:
		reason = errors.New("asked to stop")
	case <-ctx.Done():
		reason = context.Cause(ctx)
	case <-orphaned:
		reason = errParentGone
	}

	select {
	case <-p.told: // else the child would take the order for what begin tells it
	case <-p.exited:
		return nil
	}
	deadline := time.Now().Add(p.opts.Grace)
	sendCtx, cancel := context.WithDeadline(p.served, deadline)
	defer cancel()
	_ = p.control.send(sendCtx, order{Stop: true}) // a child that can't be asked is terminated

	if p.exitsWithin(time.Until(deadline) / 4 * 3) {
		return nil
	}
	p.setReason(fmt.Errorf("terminated: did not stop within %v (%w)", p.opts.Grace/4*3, reason))
	_ = p.Terminate() // it may have ended meanwhile
	if p.exitsWithin(time.Until(deadline)) {
		return nil
	}
	p.setReason(fmt.Errorf("killed: did not stop within %v (%w)", p.opts.Grace, reason))
	_ = p.kill() // likewise
	return nil
}

// endsSoon waits for the end of a child that was killed, and of all that serves it. False says that not even the kill ended
// it: it hangs in the kernel, or belongs to another user.
func (p *Process) endsSoon() bool {
	timer := time.NewTimer(endingTime)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

func (p *Process) exitsWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

// PID returns the child's process id. After its end the number may belong to another process: use Signal, not the number.
func (p *Process) PID() int { return p.pid }

// Name returns SpawnOptions.Name, or the entrypoint's.
func (p *Process) Name() string { return p.name }

// Alive says whether the child has not ended yet.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Done returns a channel that is closed when the child has ended and is reaped, and its output is copied.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until the child has ended, or ctx ends; then the child lives on. It returns nil if the entrypoint returned
// nil, or the process exited with code 0, else an *ExitError. Any number of callers get the same answer.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	default:
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return wrapError(ctx, "wait", p, ctx.Err())
	}
}

// ExitCode returns the child's exit code once it has ended, without waiting: -N if signal N ended it. If this program
// ignores SIGCHLD, or reaps children itself, nobody knows the code, and exited is false.
func (p *Process) ExitCode() (code int, exited bool) {
	if p.Alive() || p.state == nil {
		return 0, false
	}
	code, _ = exitStatus(p.state)
	return code, true
}

// Stop ends the child and waits for its end. It asks the child over the control channel: the entrypoint's ctx ends. After
// three quarters of SpawnOptions.Grace it does as Terminate, and at the end of the grace, or when ctx ends, as
// Kill. So give it a ctx that has time left, such as context.WithoutCancel of one that has just ended. Calling it again,
// also at the same time, joins the first.
//
// It returns nil if the child ended as it was asked: with nil, or with its ctx's error. Otherwise it returns what Wait
// returns, or, in the unlikely case that even a kill doesn't end the child, the ctx's error.
func (p *Process) Stop(ctx context.Context) error {
	p.ask.Do(func() { close(p.asked) })
	select {
	case <-p.done:
	case <-ctx.Done():
		p.setReason(fmt.Errorf("killed: did not stop in time (%w)", context.Cause(ctx)))
		_ = p.kill() // it may have ended meanwhile
		if !p.endsSoon() {
			return wrapError(ctx, "stop", p, ctx.Err())
		}
	}
	var exit *ExitError
	if errors.As(p.err, &exit) && exit.asAsked() {
		return nil
	}
	return p.err
}

// Terminate sends SIGTERM to the child; on Windows it ends the child with exit code 143. It doesn't wait.
// os.ErrProcessDone says that the child had ended.
func (p *Process) Terminate() error { return p.unlessReaped(p.job.terminate) }

// Kill ends the child at once, and with it the processes of its group, as its own children; on Windows all its
// descendants, with exit code 137. It doesn't wait. os.ErrProcessDone says that the child had ended.
func (p *Process) Kill() error {
	p.setReason(errors.New("killed by Kill"))
	return p.kill()
}

// Signal sends sig to the child alone. It doesn't wait. os.ErrProcessDone says that the child had ended. On Windows
// os.Kill ends the child with exit code 137, and any other signal is an error that matches errors.ErrUnsupported.
func (p *Process) Signal(sig os.Signal) error {
	return p.unlessReaped(func(cmd *exec.Cmd) error { return p.job.signal(cmd, sig) })
}

func (p *Process) kill() error { return p.unlessReaped(p.job.kill) }

func (p *Process) unlessReaped(act func(*exec.Cmd) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	return act(p.cmd)
}

// setReason keeps the last of the reasons for which the child was terminated from here.
func (p *Process) setReason(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		p.reason = err
	}
}

// String names the child for messages and logs: its name, pid and state.
func (p *Process) String() string {
	if !p.Alive() {
		return fmt.Sprintf("%s (pid %d, ended)", p.name, p.pid)
	}
	return fmt.Sprintf("%s (pid %d)", p.name, p.pid)
}
