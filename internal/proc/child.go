package proc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/limits"
)

// DrainDelay is how long after a child's end its parent waits for the rest of its output: a grandchild may hold the
// write ends of stdout and stderr for as long as it lives.
const DrainDelay = time.Second

// Child is a started child process. Its methods may be called from any number of goroutines at once.
type Child struct {
	Orders, Reports fd.End   // this side of the pipes; they belong to the caller of Start
	Passed          []uint64 // the numbers in the child of what Command.Pass had
	Log             fd.End   // this side of the log pipe, nil where there is none; it belongs to the caller, too
	LogNumber       uint64   // the number in the child of its other side

	cmd    *exec.Cmd
	pid    int
	limits *limits.Limits
	stdio  stdio
	crash  fd.End
	group  *errgroup.Group // of what serves the child
	alive  context.Context // ends when the child is reaped
	exit   context.CancelFunc
	served context.Context // ends DrainDelay later
	cancel context.CancelFunc

	unwatch func()    // the crash pipe; nil if it is not watched
	reading sync.Once // is done by who reads it

	mu     sync.Mutex
	job    job
	reaped bool // the pid may belong to another process
	doomed bool // what is left of the child's group ends with it

	state  *os.ProcessState // written before alive ends; nil if the OS didn't tell
	report []byte           // of a crash; written by the group
	events limits.Events    // likewise
	drain  *time.Timer      // likewise: cancels served
}

func newChild(cmd *exec.Cmd, s *starting) *Child {
	c := &Child{
		Orders: s.pipes.orders, Reports: s.pipes.reports, Passed: s.passed, Log: s.pipes.log, LogNumber: s.logNumber,
		cmd: &exec.Cmd{Process: cmd.Process, SysProcAttr: cmd.SysProcAttr}, // the rest, its Env above all, is needed no more
		pid: cmd.Process.Pid, limits: s.Limits, stdio: s.stdio, crash: s.pipes.crash, job: s.job,
	}
	c.alive, c.exit = context.WithCancel(context.Background())
	c.served, c.cancel = context.WithCancel(context.Background())
	return c
}

// Serve starts all that serves the child: in group its output is copied and its crash report read, and it is reaped when it has
// ended. When group has ended, too, Serve calls ended with its error, on a goroutine of its own. What serves the child otherwise
// may be added to group before, and in Unreaped. Call Serve once. The exported fields of c are the caller's to close.
//
// Where the system can tell, no goroutine waits for the child's end, or for its crash.
func (c *Child) Serve(group *errgroup.Group, ended func(error)) {
	c.group = group
	c.stdio.serve(group, c.served, c.alive.Done())
	var err error
	if c.unwatch, err = watchPipe(c.crash, func() { c.Unreaped(c.beginCrash) }); err != nil {
		c.beginCrash()
	}
	exited := func() { ended(c.end(awaitExit(c.pid))) } // whom another process traces has ended before he can be reaped
	if watchExit(c.pid, exited) != nil {
		go exited()
	}
}

// beginCrash begins to read the crash pipe, in the group.
func (c *Child) beginCrash() {
	c.reading.Do(func() { c.group.Go(c.readCrash) })
}

// readCrash reads the crash pipe to its end. Only where something else holds it open, that may come after the child's end.
func (c *Child) readCrash() error {
	defer c.crash.Close()
	defer context.AfterFunc(c.served, func() { _ = c.crash.SetReadDeadline(time.Now()) })()
	var report crashReport
	err := report.readFrom(c.crash)
	if errors.Is(err, os.ErrDeadlineExceeded) { // what has come until then, too
		_ = c.crash.SetReadDeadline(time.Now().Add(DrainDelay / 10))
		err = report.readFrom(c.crash)
	}
	c.report = report.bytes()
	return ignoreDrained(err)
}

// end reaps the child, waits for all that serves it, and returns what went wrong. Waited says that the child has ended.
func (c *Child) end(waited bool) error {
	c.fails(c.reap(waited))
	if c.unwatch != nil {
		c.unwatch()
	}
	c.reading.Do(func() { c.fails(c.readCrash()) })
	err := c.group.Wait()
	c.drain.Stop()
	c.cancel()
	return err
}

// fails gives the group an error, if there is one.
func (c *Child) fails(err error) {
	if err != nil {
		c.group.Go(func() error { return err })
	}
}

// reap takes the child's exit status. It waits for the child's end, unless that was waited for.
func (c *Child) reap(waited bool) error {
	if waited { // else this may take long
		c.mu.Lock()
		c.killDoomed()
	}
	state, err := c.cmd.Process.Wait()
	if !waited {
		c.mu.Lock()
		c.killDoomed()
	}
	c.reaped = true
	if err != nil { // somebody else has reaped it
		_ = c.cmd.Process.Release()
	}
	doomed, job := c.doomed, c.job
	c.job.release()
	c.mu.Unlock()
	c.state = state
	c.exit()
	c.drain = time.AfterFunc(DrainDelay, c.cancel)
	events, errEnd := job.end()
	c.events = events
	if doomed || job.endsAll() {
		job.reapKilled(c.pid)
	}
	if err == nil {
		err = errEnd
	}
	return err
}

// killDoomed is called with the lock held.
func (c *Child) killDoomed() {
	if c.doomed {
		_ = c.job.killGroup(c.cmd) // nobody may be left in it
	}
}

// PID returns the child's process id.
func (c *Child) PID() int { return c.pid }

// Exited returns a channel that is closed when the child is reaped.
func (c *Child) Exited() <-chan struct{} { return c.alive.Done() }

// Alive returns a ctx that ends when the child is reaped.
func (c *Child) Alive() context.Context { return c.alive }

// Served returns a ctx for whoever waits for what the child may still send. It ends DrainDelay after the child, or when group
// has ended.
func (c *Child) Served() context.Context { return c.served }

// Status returns how the child ended, after Exited: a code of -N for death by signal N. Known is false if somebody else has
// reaped it.
func (c *Child) Status() (code int, sig os.Signal, known bool) {
	if c.state == nil {
		return 0, nil, false
	}
	code, sig = exitStatus(c.state)
	return code, sig, true
}

// EndedByTerminate says, after Exited, whether the child ended as Terminate ends it.
func (c *Child) EndedByTerminate() bool {
	code, _, known := c.Status()
	return known && code == codeTerminated
}

// EndedByForce says, after Exited, whether the child ended as Terminate or Kill end it.
func (c *Child) EndedByForce() bool {
	code, _, known := c.Status()
	return known && (code == codeTerminated || code == codeKilled)
}

// Limit names the limit that ended the child, after the end of the group: "" if none did, or the system doesn't tell.
func (c *Child) Limit() string {
	_, sig, _ := c.Status()
	return c.limits.EndedBy(limits.Ending{
		Signal: sig, OutOfMemory: outOfMemory(c.report), NoThread: outOfThreads(c.report), Events: c.events,
	})
}

// CrashReport returns what the Go runtime printed when the child crashed, after the end of the group; empty if it did not.
func (c *Child) CrashReport() []byte { return c.report }

// ExplainCrash returns the value and stack of the crash that CrashReport tells of.
func (c *Child) ExplainCrash() (value string, stack []byte) {
	if c.stdio.stderr == nil {
		return ExplainCrash(c.report, nil)
	}
	return ExplainCrash(c.report, c.stdio.stderr.crash())
}

// Stderr returns the end of what the child wrote there, at most MaxTail bytes; nil where Command.Stderr is a file.
func (c *Child) Stderr() []byte {
	if c.stdio.stderr == nil {
		return nil
	}
	return c.stdio.stderr.bytes()
}

// Terminate asks the operating system to end the child.
func (c *Child) Terminate() error { return c.signal((*job).terminate) }

// TerminateGroup does so, and kills what is left of its group when the child has ended.
func (c *Child) TerminateGroup() error {
	return c.signal(func(j *job, cmd *exec.Cmd) error {
		c.doomed = true
		return j.terminate(cmd)
	})
}

// Kill ends the child and its group.
func (c *Child) Kill() error {
	return c.signal(func(j *job, cmd *exec.Cmd) error {
		c.doomed = true
		return j.kill(cmd)
	})
}

// Signal sends sig to the child alone.
func (c *Child) Signal(sig os.Signal) error {
	return c.signal(func(j *job, cmd *exec.Cmd) error { return j.signal(cmd, sig) })
}

func (c *Child) signal(act func(*job, *exec.Cmd) error) (err error) {
	if !c.Unreaped(func() { err = act(&c.job, c.cmd) }) {
		return os.ErrProcessDone
	}
	return err
}

// Unreaped calls f, and returns true, if the child is not reaped yet; nor is it reaped before f has returned.
func (c *Child) Unreaped(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		f()
	}
	return !c.reaped
}
