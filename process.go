package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-gipc/gipc/internal/proc"
)

// endingTime is how long a kill may take to end a child and all that serves it, before it counts as without effect.
const endingTime = 4 * proc.DrainDelay

// turn is how long a goroutine may take to see what has come in while this process stood still.
const turn = 50 * time.Millisecond

// Process is a child process. Spawn makes it; the methods of the zero value panic. They may be called from any number of
// goroutines at once, and after the child has ended. Nothing needs to be released.
type Process struct {
	name  string
	grace time.Duration
	child *proc.Child

	// group runs all that serves the child; it ends with it.
	group   errgroup.Group
	control *control

	told     chan struct{} // closed when begin has told the child all it has to
	stopping sync.Once     // begins to stop the child
	ready    chan report   // the child's first report
	heard    bool          // it has come. Owned by readReports, and read when the group has ended
	done     chan struct{} // closed at the very end; then err is set
	err      error
	health   *health

	reason error        // why the child was terminated from here; set only while it is not reaped
	last   *remoteError // what the entrypoint returned, nil if that was nil; written by the group
}

// serve makes the Process of a started child and starts all that serves it.
func serve(ctx context.Context, child *proc.Child, opts *SpawnOptions) *Process {
	p := &Process{
		name: opts.Name, grace: opts.Grace, child: child,
		control: newControl(child.Reports, child.Orders, maxReport),
		told:    make(chan struct{}), done: make(chan struct{}),
		ready: make(chan report, 1), health: newHealth(),
	}
	p.group.Go(func() error { return p.readReports(child.Served()) })
	if child.Log != nil {
		p.serveLog(ctx, opts.Logger)
	}
	letGo, letGoOfParent := p.stopWith(ctx), p.stopWith(proc.Parent)
	child.Serve(&p.group, func(failure error) {
		letGo()
		letGoOfParent()
		<-p.told // a child may do all it has to before begin knows that it could tell it
		p.control.close()
		p.err = p.exitError(failure)
		close(p.done)
	})
	return p
}

// readReports reads what the child says while it is served. A child that breaks the protocol is no child of ours any more, and can't
// be asked to stop: it is killed.
func (p *Process) readReports(served context.Context) error {
	defer close(p.ready)
	err := p.noteReports(served)
	if served.Err() != nil { // what has come until now counts, too, if this process stood still
		ctx, cancel := context.WithTimeout(context.Background(), turn) // for all of it: others may write there without end
		defer cancel()
		_ = p.noteReports(ctx)
		return nil
	}
	if err == nil {
		return nil
	}
	_ = p.child.Kill() // it may have ended
	return fmt.Errorf("it broke the protocol of its control channel: %w", err)
}

// noteReports notes what the child says until its end, or that of ctx.
func (p *Process) noteReports(ctx context.Context) error {
	for {
		var r report
		err := p.control.receive(ctx, &r)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case !p.heard:
			p.heard = true
			p.ready <- r
		case r.Pong > 0, r.Serving:
			p.health.note(r)
		default:
			if p.last, err = parseRemote(r.Error, r.Asked); err != nil {
				return err
			}
		}
	}
}

// mustBeSpawned panics if Spawn did not make p: what it waits for would never come.
func (p *Process) mustBeSpawned() {
	if p.done == nil {
		panic("gipc: a Process is made by Spawn")
	}
}

// mustBeContext panics if ctx is nil, before the call has any effect.
func mustBeContext(ctx context.Context) {
	if ctx == nil {
		panic("gipc: a call got a nil Context")
	}
}

// PID returns the child's process id. After its end the number may belong to another process: use Signal, not the number.
func (p *Process) PID() int {
	p.mustBeSpawned()
	return p.child.PID()
}

// Name returns SpawnOptions.Name, or the entrypoint's.
func (p *Process) Name() string { return p.name }

// Alive says whether the child has not ended yet.
func (p *Process) Alive() bool {
	p.mustBeSpawned()
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Done returns a channel that is closed when the child has ended and is reaped, and its output is copied.
func (p *Process) Done() <-chan struct{} {
	p.mustBeSpawned()
	return p.done
}

// Wait waits until the child has ended. It returns nil if the entrypoint returned nil or the process exited with code 0, and
// otherwise an *ExitError. When ctx ends, Wait returns the ctx's error and the child lives on. Any number of goroutines may
// wait, and all get the same answer.
func (p *Process) Wait(ctx context.Context) error {
	p.mustBeSpawned()
	mustBeContext(ctx)
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
	if p.Alive() {
		return 0, false
	}
	code, _, exited = p.child.Status()
	return code, exited
}

// Terminate sends SIGTERM to the child. On Windows it ends the child with exit code 143. It doesn't wait. The child's ExitError says
// that it was Terminate, if that ended the child. The error matches os.ErrProcessDone if the child had ended.
func (p *Process) Terminate() error {
	p.mustBeSpawned()
	p.child.Unreaped(func() {
		if p.reason == nil { // another one is for more than this
			p.reason = errTerminated
		}
	})
	return p.child.Terminate()
}

// errTerminated is a reason that counts only for a child that ends by it at once: one that handles SIGTERM may live on, and die of
// something else.
var errTerminated = errors.New("terminated by Terminate")

// Kill ends the child at once, and with it the other processes of its group. On Windows it ends the child and all its
// descendants, with exit code 137. It doesn't wait. The error matches os.ErrProcessDone if the child had ended.
func (p *Process) Kill() error { return p.KillCause(errors.New("killed by Kill")) }

// KillCause is Kill with a reason, which the child's ExitError wraps if the kill ended it: not if it failed, crashed or exited by
// itself at that moment.
func (p *Process) KillCause(cause error) error {
	p.mustBeSpawned()
	p.setReason(cause)
	return p.child.Kill()
}

// Signal sends sig to the child alone. It doesn't wait. The error matches os.ErrProcessDone if the child had ended. On
// Windows os.Kill ends the child with exit code 137, and for any other signal the error matches errors.ErrUnsupported.
func (p *Process) Signal(sig os.Signal) error {
	p.mustBeSpawned()
	return p.child.Signal(sig)
}

// setReason keeps the last of the reasons for which the child was terminated from here.
func (p *Process) setReason(err error) {
	p.child.Unreaped(func() { p.reason = err })
}

// String names the child for messages and logs: its name, pid and state.
func (p *Process) String() string {
	if p.done == nil {
		return "a Process that Spawn did not make"
	}
	if !p.Alive() {
		return fmt.Sprintf("%s (pid %d, ended)", p.name, p.PID())
	}
	return fmt.Sprintf("%s (pid %d)", p.name, p.PID())
}
