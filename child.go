package gipc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Exit codes of a child that this package ends.
const (
	exitFailed   = 1  // the entrypoint returned an error
	exitNoParent = 70 // the parent is gone, or never was
)

var (
	errAsked      = fmt.Errorf("gipc: the parent asked this process to stop: %w", context.Canceled) // an entrypoint may return it
	errParentGone = errors.New("gipc: the parent process is gone")
)

// orphaned is closed when this process's parent is gone. It is never closed in a process that is no child.
var orphaned = make(chan struct{})

// inherited is the child's side of a Spawn.
type inherited struct {
	fds     []uintptr
	control *control
	began   chan beginning // receives one
	mayRun  chan struct{}  // closed when the parent orders to Run
	ctx     context.Context
	cancel  context.CancelCauseFunc
}

// beginning is what the child is told to do.
type beginning struct {
	hello
	args []byte
}

func newInherited(fds []uintptr) *inherited {
	in, out := openEnd(fds[controlIn], true), openEnd(fds[controlOut], true)
	c := &inherited{fds: fds, control: newControl(in, out, math.MaxInt), began: make(chan beginning, 1), mayRun: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(context.WithValue(context.Background(), entrypointKey{}, c))
	return c
}

// serve reads what the parent sends until the parent is gone, and then ends this process.
func (c *inherited) serve() {
	grace := time.Duration(0) // nobody has seen the ctx yet
	b, err := c.receiveBeginning()
	if err == nil {
		grace = b.Grace
		c.began <- b
	}
	for err == nil {
		var o order
		err = c.control.receive(context.Background(), &o)
		if err == nil && o.Run {
			close(c.mayRun)
		}
		if err == nil && o.Stop {
			c.cancel(errAsked)
		}
		if err == nil && o.Ping {
			c.tell(report{Pong: true}) // never fills the pipe: there is no second question before the answer
		}
	}
	c.cancel(errParentGone)
	close(orphaned)
	time.Sleep(grace)
	exitWithGroup(exitNoParent)
}

func (c *inherited) receiveBeginning() (b beginning, err error) {
	ctx := context.Background()
	if err := c.control.receive(ctx, &b.hello); err != nil {
		return b, err
	}
	b.args, err = c.control.r.Get(ctx)
	return b, err
}

// run runs the entrypoint and ends the process.
func (c *inherited) run() {
	var b beginning
	select {
	case b = <-c.began:
	case <-orphaned:
		os.Exit(exitNoParent)
	}
	call, refused := c.prepare(b)
	if refused != nil {
		c.tell(*refused)
		os.Exit(exitFailed)
	}
	if !c.tell(report{Ready: true}) || !c.awaitRun() {
		os.Exit(exitNoParent)
	}
	err := callEntrypoint(c.ctx, call)
	end := c.outcome(err)
	c.cancel(nil)
	call.finish()
	c.tell(end)
	if end.Failed {
		os.Exit(exitFailed)
	}
	os.Exit(0)
}

// awaitRun waits until Spawn can't fail any more: until then nothing may be read from the ends that came with the arguments.
// It returns false if the parent is gone.
func (c *inherited) awaitRun() bool {
	select {
	case <-c.mayRun:
		return true
	case <-orphaned:
		return false
	}
}

// tell sends a report. It says whether the parent is there to read it.
func (c *inherited) tell(r report) bool {
	r.Text = r.Text[:min(len(r.Text), maxText)]
	return c.control.send(context.Background(), r) == nil
}

// prepare makes the entrypoint's call out of what the parent sent, or says why it can't be made.
func (c *inherited) prepare(b beginning) (*call, *report) {
	if (b.File == "" || b.File != fileID()) && b.Build != buildID() {
		return nil, &report{Refused: refusedBuild, Text: fmt.Sprintf("parent %q, child %q", b.Build, buildID())}
	}
	entry, ok := lookupEntrypoint(b.Entrypoint)
	if !ok {
		return nil, &report{Refused: refusedEntrypoint, Text: strings.Join(entrypointNames(), ", ")}
	}
	crash := openInherited(c.fds[crashOut], false)
	if err := debug.SetCrashOutput(crash, debug.CrashOptions{}); err != nil {
		return nil, &report{Refused: refusedArgs, Text: "crash reports: " + err.Error()}
	}
	_ = crash.Close() // the runtime has a duplicate

	adopting.Store(true)
	defer adopting.Store(false)
	call, err := entry.prepare(b.args, func(args any) ([]half, error) {
		return adoptAll(args, b.Passed, b.Uses, b.FDs)
	})
	if err != nil {
		return nil, &report{Refused: refusedArgs, Text: err.Error()}
	}
	return call, nil
}

// outcome is the report of what the entrypoint returned. It is made before the ctx is cancelled for good.
func (c *inherited) outcome(err error) report {
	if err == nil {
		return report{}
	}
	r := report{Failed: true, Text: err.Error()}
	switch {
	case errors.Is(err, context.Canceled):
		r.Ctx = ctxCanceled
		r.Asked = c.ctx.Err() != nil && onlyCanceled(err)
	case errors.Is(err, context.DeadlineExceeded):
		r.Ctx = ctxDeadline
	}
	return r
}

// onlyCanceled says whether an error that matches context.Canceled says nothing else: one that is joined with it is a failure
// of its own.
func onlyCanceled(err error) bool {
	switch e := err.(type) {
	case *remoteError: // of a child's child
		return e.asked
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if part != ErrPartial && !onlyCanceled(part) { // a cancelled Put's error is both
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return onlyCanceled(inner)
		}
	}
	return errors.Is(err, context.Canceled)
}

// call is an entrypoint with its arguments.
type call struct {
	fn     func(ctx context.Context) error
	halves []half // that came with the arguments
}

// finish sends what the entrypoint left in the buffers of its Writers. It blocks until their readers have made room, or
// are gone; a parent that doesn't want to wait any longer ends this process.
func (c *call) finish() {
	for _, h := range c.halves {
		if out, ok := h.(*outbound); ok {
			_ = out.waitSent(context.Background()) // its reader may be gone: nobody is left to be told
		}
	}
}

// callEntrypoint runs the entrypoint on the main goroutine. A panic is left alone: it ends the process, and the runtime
// reports it. runtime.Goexit, which would leave a process without a main goroutine, becomes an error.
func callEntrypoint(ctx context.Context, c *call) (err error) {
	returned := false
	defer func() {
		if !returned && isGoexit() {
			fmt.Fprintln(os.Stderr, "gipc: the entrypoint called runtime.Goexit")
			inheritance.tell(report{Failed: true, Text: "the entrypoint called runtime.Goexit"})
			os.Exit(exitFailed)
		}
	}()
	err = c.fn(ctx)
	returned = true
	return err
}

// isGoexit says whether a deferred function runs because of runtime.Goexit and not because of a panic: recover could
// tell, but would spoil the panic's report.
func isGoexit() bool {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	for {
		frame, more := frames.Next()
		if frame.Function == "runtime.Goexit" {
			return true
		}
		if !more {
			return false
		}
	}
}
