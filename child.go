package gipc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-gipc/gipc/internal/logs"
	"github.com/go-gipc/gipc/internal/pack"
	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/remote"
	"github.com/go-gipc/gipc/internal/unwind"
	"github.com/go-gipc/gipc/internal/wire"
)

// Exit codes of a child.
const (
	exitFailed   = 1  // the entrypoint returned an error
	exitCrashed  = 2  // the runtime ended the program: a panic or a fatal error
	exitNoParent = 70 // the parent is gone, or never was
)

// errAsked is the cause of the entrypoint's ctx when the parent asks it to stop; it may return it.
var errAsked = fmt.Errorf("gipc: the parent asked this process to stop: %w", context.Canceled)

// inheritance is what a child process got from its parent. Nil in any other process.
var inheritance *childSide

// init takes over what internal/claim has claimed, and watches the parent from then on: a child may be busy for long before its main
// calls Init.
func init() {
	inherited, err := proc.Inherit()
	if err != nil {
		os.Stderr.WriteString("gipc: this process can't take over what its parent handed to it: " + err.Error() + "\n")
		os.Exit(exitNoParent)
	}
	if inherited != nil {
		_ = inherited.ReportCrashes(false) // if it can't, it can't later, and the parent is told then
		inheritance = newChildSide(inherited)
		go inheritance.serve()
	}
}

// childSide is the child's side of a Spawn.
type childSide struct {
	proc    *proc.Inherited
	control *control
	log     *logs.Handler  // nil where the parent doesn't want the log
	began   chan beginning // receives one
	mayRun  chan struct{}  // closed when the parent orders to Run
	giveUp  chan struct{}  // closed when a child that was asked to stop must not wait for its readers any longer
	ctx     context.Context
	cancel  context.CancelCauseFunc
}

// beginning is what the child is told to do.
type beginning struct {
	hello
	args       []byte
	unreadable error // of what follows the first fields of hello
}

func newChildSide(in *proc.Inherited) *childSide {
	c := &childSide{proc: in, control: newControl(in.Orders, in.Reports, math.MaxInt), began: make(chan beginning, 1), mayRun: make(chan struct{}), giveUp: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(context.WithValue(context.Background(), entrypointKey{}, c))
	return c
}

// serve reads what the parent sends until the parent is gone, and then ends this process.
func (c *childSide) serve() {
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
			time.AfterFunc(grace/2, func() { close(c.giveUp) }) // the parent terminates at three quarters
		}
		if err == nil && o.Ping > 0 {
			c.tell(report{Pong: o.Ping}) // never fills the pipe: there is no second question before the answer
		}
	}
	c.cancel(proc.ErrParentGone)
	proc.Orphan()
	time.Sleep(grace)
	proc.ExitWithGroup(exitNoParent)
}

func (c *childSide) receiveBeginning() (b beginning, err error) {
	ctx := context.Background()
	first, err := c.control.r.Get(ctx)
	if err == nil {
		b.unreadable = pack.Parse(first, &b.hello)
		b.args, err = c.control.r.Get(ctx)
	}
	return b, err
}

// run runs the entrypoint and ends the process.
func (c *childSide) run() {
	var b beginning
	select {
	case b = <-c.began:
	case <-proc.Parent.Done():
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
	c.end(call, callEntrypoint(c, call))
}

// end ends the process, after the entrypoint has returned err. What it returned is told first: sending what its Writers hold
// may take long, and be cut short.
func (c *childSide) end(call *call, err error) {
	if err != nil { // nil is what an exit code of 0 says
		c.tell(c.outcome(err))
	}
	open := call.closeIdle(err == nil)
	c.cancel(nil)
	unsent := awaitClosed(open, err == nil, c.giveUp)
	if unsent != nil && err == nil {
		c.tell(c.outcome(unsent))
	}
	if c.log != nil {
		_ = c.log.Flush() // a parent that doesn't read isn't waited for
	}
	if err != nil || unsent != nil {
		os.Exit(exitFailed)
	}
	os.Exit(0)
}

// awaitRun waits until Spawn can't fail any more: until then nothing may be read from the ends that came with the arguments.
// It returns false if the parent is gone.
func (c *childSide) awaitRun() bool {
	select {
	case <-c.mayRun:
		return true
	case <-proc.Parent.Done():
		return false
	}
}

// tell sends a report. It says whether the parent is there to read it.
func (c *childSide) tell(r report) bool {
	r.Text = r.Text[:min(len(r.Text), maxText)]
	return c.control.send(context.Background(), &r) == nil
}

// prepare makes the entrypoint's call out of what the parent sent, or says why it can't be made.
func (c *childSide) prepare(b beginning) (*call, *report) {
	if (b.File == "" || b.File != proc.FileID()) && b.Build != proc.BuildID() {
		return nil, &report{Refused: refusedBuild, Text: fmt.Sprintf("parent %q, child %q", b.Build, proc.BuildID())}
	}
	if b.unreadable != nil {
		return nil, &report{Refused: refusedArgs, Text: b.unreadable.Error()}
	}
	entry, ok := lookupEntrypoint(b.Entrypoint)
	if !ok {
		return nil, &report{Refused: refusedEntrypoint, Text: strings.Join(entrypointNames(), ", ")}
	}
	if err := c.proc.ReportCrashes(true); err != nil {
		return nil, &report{Refused: refusedArgs, Text: "crash reports: " + err.Error()}
	}
	if err := c.forwardLog(b.Log); err != nil {
		return nil, &report{Refused: refusedArgs, Text: "log pipe: " + err.Error()}
	}
	if err := b.Limits.Hold(); err != nil { // what decodes the arguments may be the user's code
		return nil, &report{Refused: refusedLimits, Text: err.Error()}
	}
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
func (c *childSide) outcome(err error) report {
	return report{Error: remote.Append(nil, err), Asked: c.ctx.Err() != nil && onlyCanceled(err)}
}

// onlyCanceled says whether an error that matches context.Canceled says nothing else: one that is joined with it is a failure
// of its own.
func onlyCanceled(err error) bool {
	switch e := err.(type) {
	case *remoteError: // of a child's child, or of elsewhere: what else it was, stayed there
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

// closeIdle closes the ends that came with the arguments, Readers first: another process may wait for room in them. It returns
// those Writers whose closing may take a while. Ends that have moved on are another process's.
func (c *call) closeIdle(well bool) (open []*wire.Outbound) {
	for _, h := range c.halves {
		if in, ok := h.(*wire.Inbound); ok {
			_ = in.Close() // it may be closed, or moved
		}
	}
	for _, h := range c.halves {
		if out, ok := h.(*wire.Outbound); ok {
			_ = out.TryClose(well) // likewise, or in use
			if !out.Ended() {
				open = append(open, out)
			}
		}
	}
	return open
}

// awaitClosed closes Writers, so that what the entrypoint left in their buffers is sent. It blocks until their readers have made
// room, or are gone, or giveUp is closed: then it returns an error.
func awaitClosed(open []*wire.Outbound, well bool, giveUp <-chan struct{}) error {
	if len(open) == 0 {
		return nil
	}
	var writers sync.WaitGroup
	for _, out := range open {
		writers.Go(func() { closeAndWait(out, well) })
	}
	closed := make(chan struct{})
	go func() { writers.Wait(); close(closed) }()
	select {
	case <-closed:
		return nil
	case <-giveUp:
		return errors.New("gipc: it was stopped before others had read what its Writers had queued")
	}
}

// closeAndWait closes a Writer, with the mark of its end if all went well, and waits until that is in the pipe. Errors say
// that it was closed or moved, or that its reader is gone: nobody is left to be told.
func closeAndWait(out *wire.Outbound, well bool) {
	_ = out.Close(well)
	_ = out.WaitEnd(context.Background())
}

// callEntrypoint runs the entrypoint on the main goroutine. A panic is left alone: it ends the process, and the runtime
// reports it. runtime.Goexit, which would leave a process without a main goroutine, becomes an error.
func callEntrypoint(c *childSide, call *call) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if goexits, panics := unwind.Reason(); goexits && !panics {
			fmt.Fprintln(os.Stderr, "gipc: the entrypoint called runtime.Goexit")
			c.end(call, errors.New("the entrypoint called runtime.Goexit"))
		}
	}()
	err = call.fn(c.ctx)
	returned = true
	return err
}
