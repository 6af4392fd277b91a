package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultGrace        = 5 * time.Second
	defaultStartTimeout = 30 * time.Second
)

// SpawnOptions say how a child process runs. The zero value, and nil, are good.
type SpawnOptions struct {
	// Name stands in errors, logs and the process's title (argv[0]). "": the entrypoint's name.
	Name string

	// Env is the child's environment, as "KEY=value". nil: the parent's.
	Env []string

	// Dir is the child's working directory. "": the parent's.
	Dir string

	// Stdin is copied to the child by a goroutine, unless it is an *os.File. nil: the null device. A goroutine that is
	// blocked in its Read when the child ends stays there until that Read returns. A child has its own process group, so
	// that a terminal that it reads from directly stops it (SIGTTIN) on Unix.
	Stdin io.Reader

	// Stdout and Stderr get the child's output from a goroutine of their own, unless they are *os.File; if writing to
	// one fails, the output is dropped, the child goes on, and Wait returns the error, as it does if one still blocks
	// two seconds after the child's end. nil: the parent's. The end of what went through Stderr is kept for
	// ExitError.Stderr. Where both are the same writer, one goroutine writes all to it, in the child's order.
	Stdout, Stderr io.Writer

	// Grace is the time from asking the child to stop to killing it. After three quarters of it the child is terminated as
	// by Terminate. A child whose parent is gone has as long to end. 0: 5 s.
	Grace time.Duration

	// StartTimeout is the time in which the child must become ready. 0: 30 s.
	StartTimeout time.Duration

	// Daemon marks a child that a Supervisor doesn't wait for but ends after the others.
	Daemon bool

	// Command may change the command before it is started: credentials, cgroup, namespaces. It may set fields of
	// SysProcAttr, which is never nil, and append to ExtraFiles and Env, but must keep what is there, and only files can
	// be its standard streams. On Windows Spawn returns an error that matches errors.ErrUnsupported if it sets
	// ExtraFiles; there it may append inheritable handles to SysProcAttr.AdditionalInheritedHandles.
	Command func(*exec.Cmd)
}

// Entrypoint is a function that Spawn can run in a child process; Register makes it.
type Entrypoint[A any] struct{ name string }

// Name returns the name that it was registered with.
func (e *Entrypoint[A]) Name() string { return e.name }

// entrypoint is an Entrypoint as the child finds it by its name.
type entrypoint struct {
	// prepare decodes arguments; adopt fills in the ends.
	prepare func(args []byte, adopt func(args any) ([]half, error)) (*call, error)
}

var (
	entrypointsMu sync.Mutex
	entrypoints   = map[string]entrypoint{}
)

// Register names fn as an entrypoint for child processes. Call it when the program starts, in parent and child alike: in
// a package-level variable or an init function, so that it has run when main calls Init.
//
//	var resize = gipc.Register("resize", func(ctx context.Context, args ResizeArgs) error { … })
//
// In the child, fn runs on the main goroutine. Its ctx ends when the parent asks the child to stop, when the ctx given to
// Spawn ends and when the parent is gone; fn should then return. What it returns is what the parent's Wait returns, as
// text. When fn returns, messages queued in the Writers among its arguments are still sent, however long their readers
// take, and the process exits. So who waits for a process before reading what it has queued may wait for ever.
//
// Args travel as CBOR; ends and files in them, in fields of their own type at any depth, move to the child. Register
// panics if args can't be encoded, naming the field, and if the name is empty or taken.
func Register[A any](name string, fn func(ctx context.Context, args A) error) *Entrypoint[A] {
	switch err := checkArgs(reflect.TypeFor[A]()); {
	case name == "":
		panic("gipc: Register: the entrypoint has no name")
	case fn == nil:
		panic("gipc: Register: entrypoint " + name + " has no function")
	case err != nil:
		panic(fmt.Sprintf("gipc: Register: arguments of entrypoint %s: %v", name, err))
	}
	entrypointsMu.Lock()
	defer entrypointsMu.Unlock()
	if _, taken := entrypoints[name]; taken {
		panic("gipc: Register: there is an entrypoint " + name + " already")
	}
	entrypoints[name] = entrypoint{func(encoded []byte, adopt func(any) ([]half, error)) (*call, error) {
		var args A
		if err := decodeCBOR(encoded, &args); err != nil {
			return nil, err
		}
		halves, err := adopt(&args)
		return &call{fn: func(ctx context.Context) error { return fn(ctx, args) }, halves: halves}, err
	}}
	return &Entrypoint[A]{name: name}
}

func lookupEntrypoint(name string) (entrypoint, bool) {
	entrypointsMu.Lock()
	defer entrypointsMu.Unlock()
	e, ok := entrypoints[name]
	return e, ok
}

func entrypointNames() []string {
	entrypointsMu.Lock()
	defer entrypointsMu.Unlock()
	return slices.Sorted(maps.Keys(entrypoints))
}

var initialized atomic.Bool

// Init must be the first line of main, and of TestMain in tests that spawn. In a child process it runs the entrypoint and
// never returns; in any other process it returns at once. Spawn fails with ErrNotInitialized where it was not called.
func Init() {
	initialized.Store(true)
	fileID()
	if inheritance != nil {
		inheritance.run()
	}
}

// Spawn starts this program again as a child process that runs e with args. It returns when the child is ready to run
// the entrypoint, or with an error when it can't be: ErrNotInitialized, ErrUnknownEntrypoint, ErrVersionMismatch,
// ErrNotReady with an *ExitError if it ended, the ctx's error, or the operating system's.
//
// Every *Reader, *Writer, *Duplex and *os.File in args moves to the child: once Spawn has returned nil, it is closed here,
// and using it gives ErrMoved. What a Reader had read and not delivered moves too; what a Writer had queued is sent first.
// If a call is under way on one of them, Spawn returns ErrLocked. An end over a stream that is no file can't move, but those
// over the connections of package net can; on Windows they can't, and the error matches errors.ErrUnsupported. If Spawn
// fails, nothing has moved, and the entrypoint has not run.
//
// Ctx governs the child's life: when it ends, the child is stopped as by Stop. The child is also stopped when this
// process is itself a child and its parent is gone. It is reaped without Wait.
func Spawn[A any](ctx context.Context, e *Entrypoint[A], args A, opts *SpawnOptions) (*Process, error) {
	s := starter{entrypoint: e.name}
	if opts != nil {
		s.opts = *opts
	}
	p, err := s.start(ctx, args)
	if err != nil {
		return nil, wrapError(ctx, "spawn", s.named(), err)
	}
	return p, nil
}

// named says what is to be started, for errors.
func (s *starter) named() named {
	if s.opts.Name == "" || s.opts.Name == s.entrypoint {
		return named(s.entrypoint)
	}
	return named(fmt.Sprintf("%s (entrypoint %s)", s.opts.Name, s.entrypoint))
}

type named string

func (n named) String() string { return string(n) }

// starter is one Spawn.
type starter struct {
	entrypoint string
	opts       SpawnOptions
	handover   *handover
	stdio      stdio
	pipes      childPipes
	job        job
	passedFDs  []uint64 // the numbers in the child of what handover passes
}

func (s *starter) start(ctx context.Context, args any) (_ *Process, err error) {
	if !initialized.Load() {
		return nil, ErrNotInitialized
	}
	if err := s.opts.check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.setDefaults()
	startCtx, cancel := context.WithTimeoutCause(ctx, s.opts.StartTimeout, fmt.Errorf("%w within %v", ErrNotReady, s.opts.StartTimeout))
	defer cancel()

	p, err := s.startMoving(ctx, startCtx, args)
	if err != nil && ctx.Err() == nil && startCtx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(startCtx), err)
	}
	return p, err
}

func (o *SpawnOptions) check() error {
	if o.Grace < 0 || o.StartTimeout < 0 {
		return fmt.Errorf("a duration is negative (Grace %v, StartTimeout %v)", o.Grace, o.StartTimeout)
	}
	return nil
}

func (s *starter) setDefaults() {
	o := &s.opts
	if o.Name == "" {
		o.Name = s.entrypoint
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = defaultStartTimeout
	}
}

func (s *starter) startMoving(ctx, startCtx context.Context, args any) (_ *Process, err error) {
	s.handover, err = beginHandover(startCtx, args)
	if err != nil {
		return nil, err
	}
	moved := false
	defer func() { // a panic of the user's code, while args are encoded or in Command, comes this way too
		if !moved {
			s.handover.abandon()
		}
	}()
	encoded, err := appendCBOR(nil, args)
	if err != nil {
		return nil, &EncodeError{Type: fmt.Sprintf("%T", args), Codec: "cbor", Err: err}
	}
	p, err := s.startProcess(ctx)
	if err != nil {
		return nil, err
	}
	first := hello{
		File: fileID(), Build: buildID(), Entrypoint: s.entrypoint, Grace: s.opts.Grace,
		Passed: s.handover.passed, FDs: s.passedFDs, Uses: s.handover.uses,
	}
	if err := p.awaitReady(startCtx, first, encoded); err != nil {
		return nil, err
	}
	moved = true
	s.handover.finish(&movedError{child: p.String()})
	return p, nil
}

// startProcess starts the child and all that serves it. When it fails, nothing of that is left.
func (s *starter) startProcess(ctx context.Context) (_ *Process, err error) {
	started := false
	defer func() {
		s.handover.release()
		s.stdio.releaseChild()
		s.pipes.releaseChild()
		if !started {
			s.stdio.abandon()
			s.pipes.abandon()
			s.job.release()
		}
	}()
	if err := s.pipes.open(); err != nil {
		return nil, err
	}
	cmd, err := s.command()
	if err != nil {
		return nil, err
	}
	if err := s.job.start(cmd); err != nil {
		if _, errDir := os.Stat(cmd.Dir); cmd.Dir != "" && errDir != nil {
			err = fmt.Errorf("SpawnOptions.Dir: %w", errDir) // the system's error names the program instead
		}
		return nil, err
	}
	started = true
	return serve(ctx, cmd, s), nil
}

func (s *starter) command() (*exec.Cmd, error) {
	path, _, err := executable()
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: path, Args: []string{s.opts.Name}, Env: s.opts.Env, Dir: s.opts.Dir}
	if cmd.Env == nil {
		cmd.Env = cmd.Environ()
	}
	cmd.Env = slices.Clip(cmd.Env)
	if err := s.connectStdio(cmd); err != nil {
		return nil, err
	}
	if s.job, err = newJob(cmd); err != nil {
		return nil, err
	}
	numbers, intact := s.job.attach(cmd, slices.Concat(s.pipes.child, s.handover.fds))
	s.passedFDs = numbers[firstPassed:]
	if s.opts.Command == nil {
		return cmd, nil
	}
	s.opts.Command(cmd)
	if !intact() {
		return nil, errors.New("SpawnOptions.Command changed, other than by appending, what the child inherits: its files, or its Env; or it replaced SysProcAttr instead of setting fields of it")
	}
	for _, stream := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		if _, isFile := stream.(*os.File); !isFile && stream != nil { // exec.Cmd.Wait, which nobody calls, would serve it
			return nil, fmt.Errorf("SpawnOptions.Command made a %T a standard stream: use SpawnOptions.Stdin, Stdout and Stderr", stream)
		}
	}
	return cmd, nil
}
