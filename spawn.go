package gipc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"time"

	"github.com/go-gipc/gipc/internal/codec"
	"github.com/go-gipc/gipc/internal/limits"
	"github.com/go-gipc/gipc/internal/proc"
)

const (
	defaultGrace        = 5 * time.Second
	defaultStartTimeout = 30 * time.Second
)

// SpawnOptions say how a child process runs. The zero value, and nil, are good.
type SpawnOptions struct {
	// Name stands in errors, logs and the process's title (argv[0]). On Linux its first 15 bytes are also what top and ps show.
	// "": the entrypoint's name.
	Name string

	// Env is the child's environment, as "KEY=value". nil: the parent's.
	Env []string

	// Dir is the child's working directory. "": the parent's.
	Dir string

	// Stdin is the child's standard input. nil: the null device. An *os.File is given to the child; any other reader is copied
	// by a goroutine. If that goroutine is blocked in Read when the child ends, it stays there until Read returns.
	//
	// A child is in a process group of its own. On Unix a child that reads from the terminal directly is therefore stopped, by
	// SIGTTIN. To let it read the terminal, hide the file: struct{ io.Reader }{os.Stdin}.
	Stdin io.Reader

	// Stdout and Stderr are the child's standard output and error. nil: the parent's. An *os.File is given to the child; any
	// other writer is called by a goroutine. If Stdout and Stderr are the same writer, and can be compared with ==, one goroutine
	// calls it, and it gets all output in the child's order. A writer that several children share must be safe for that; a
	// Supervisor and a Pool see to it for their own children.
	//
	// A process that the child has started may inherit them and hold them for longer than the child lives. Where they are no
	// *os.File, Done and Wait then come up to 1.1 s after the child's end, and what that process writes later fails. Where they
	// are, nobody waits for it.
	//
	// If a Write fails, the rest of the output is dropped, the child goes on, and Wait returns the error. When the child has
	// ended, each Write may take a second; Wait returns an error if one takes longer. The end of what went through a Stderr
	// that is no *os.File is kept for ExitError.Stderr.
	Stdout, Stderr io.Writer

	// Logger gets what the child logs by slog.Default, and so by package log, from the start of its entrypoint on. The
	// attributes "child" (Name) and "pid" are added, and "source" (a *slog.Source) where the child's logger knows it. Times,
	// levels and groups are those of the child, and a LogValuer is resolved there. Other values than slog's own kinds travel as
	// JSON (a json.RawMessage here) or, where they have no JSON form, as text. nil: the child logs to its Stderr, as any program.
	//
	// The logging call writes the record to a pipe: what is logged before a crash, an os.Exit or a kill arrives. The pipe is
	// always read. If the Logger's handler is slow, 8 MiB of records wait for it here, and further ones are dropped. If the
	// pipe stays full for 10 ms, the child drops records until there is room. Either way a record with the attribute "dropped"
	// counts them. So the log holds up nobody. A record above 256 KiB loses its attributes, and the end of its message.
	//
	// One goroutine calls the handler, with the values of Spawn's ctx. Wait returns after the last record, or, if the
	// handler still blocks, two seconds after the child's end. If the handler panics, that record is lost, and Wait returns an
	// error with the panic. The lowest level for which the handler is enabled at Spawn is that of the child. Enabled is
	// asked again for each record.
	Logger *slog.Logger

	// Grace is the time from asking the child to stop to killing it. After three quarters of it the child is terminated as
	// by Terminate. A child whose parent is gone has the same time to end. 0: 5 s.
	Grace time.Duration

	// StartTimeout is the time in which the child must become ready. 0: 30 s.
	StartTimeout time.Duration

	// Limits bound what the child may use of the machine. nil: no more than the parent.
	Limits *Limits

	// Daemon marks a child that a Supervisor doesn't wait for but ends after the others.
	Daemon bool

	// Command may change the command before it is started, to set credentials, a cgroup or namespaces. It may set fields of
	// SysProcAttr, which is never nil, and append to ExtraFiles and Env. It must keep what is there, and the standard
	// streams must be files.
	//
	// With Setsid the child leads a session in place of a group. With Chroot, /proc must be mounted in the new root (on
	// Linux), or Path must lead to a copy of this program in it.
	//
	// On Windows it must not set ExtraFiles: Spawn then returns an error that matches errors.ErrUnsupported. It may append
	// inheritable handles to SysProcAttr.AdditionalInheritedHandles.
	Command func(*exec.Cmd)
}

// Spawn starts this program again as a child process that runs e with args. It returns when the child is ready to run the
// entrypoint. Otherwise the error matches ErrNotInitialized, ErrUnknownEntrypoint, ErrVersionMismatch, the ctx's error or
// the operating system's, or, if the child ended, ErrNotReady, with an *ExitError.
//
// Every *Reader, *Writer, *Duplex and *os.File in args moves to the child. Once Spawn has returned nil, it is closed here,
// and using an end gives ErrMoved. One that stands in several places of args moves once. What a Reader had read and not
// delivered moves too. What a Writer had queued is sent first. If a call is under way on one of the ends, Spawn returns
// ErrLocked. If Spawn fails, nothing has moved, and the entrypoint has not run.
//
// An end over a stream that is no file can't move. Those over the connections of package net can, but not on Windows: there
// the error matches errors.ErrUnsupported.
//
// Ctx governs the child's life: when it ends, the child is stopped as by Stop. If this process is itself a child, the end of
// its parent stops the new child, too. A child is reaped without Wait.
func Spawn[A any](ctx context.Context, e *Entrypoint[A], args A, opts *SpawnOptions) (*Process, error) {
	switch {
	case e == nil:
		panic("gipc: Spawn: the Entrypoint is nil: Register makes one")
	case e.name == "":
		panic("gipc: an Entrypoint is made by Register")
	}
	mustBeContext(ctx)
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
	limits     *limits.Limits // nil: none
	handover   *handover
}

func (s *starter) start(ctx context.Context, args any) (_ *Process, err error) {
	if !proc.Initialized.Load() {
		return nil, ErrNotInitialized
	}
	if err := s.opts.check(); err != nil {
		return nil, err
	}
	s.limits = s.opts.Limits.internal()
	if err := s.limits.Check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.setDefaults()
	startCtx, cancel := context.WithTimeoutCause(ctx, s.opts.StartTimeout, fmt.Errorf(
		"%w within %v (does an init function, or main before gipc.Init, block? Otherwise raise StartTimeout)", ErrNotReady, s.opts.StartTimeout))
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
	encoded, err := codec.Append(nil, args)
	if err != nil {
		return nil, &EncodeError{Type: fmt.Sprintf("%T", args), Codec: nameCBOR, Err: err}
	}
	level := lowestLevel(ctx, s.opts.Logger)
	child, err := s.startProcess()
	if err != nil {
		return nil, err
	}
	p := serve(ctx, child, &s.opts)
	first := hello{
		File: proc.FileID(), Build: proc.BuildID(), Entrypoint: s.entrypoint, Grace: s.opts.Grace,
		Passed: s.handover.passed, FDs: child.Passed, Uses: s.handover.uses,
		Log:    logPipe{Number: child.LogNumber, Level: level},
		Limits: s.limits,
	}
	if err := p.awaitReady(startCtx, first, encoded); err != nil {
		return nil, err
	}
	moved = true
	s.handover.finish(&movedError{child: p.String()})
	return p, nil
}

// startProcess starts the child. When it fails, nothing of it is left.
func (s *starter) startProcess() (*proc.Child, error) {
	defer s.handover.release()
	return proc.Start(&proc.Command{
		Name: s.opts.Name, Env: s.opts.Env, Dir: s.opts.Dir,
		Stdin: s.opts.Stdin, Stdout: s.opts.Stdout, Stderr: s.opts.Stderr,
		Log: s.opts.Logger != nil, Change: s.opts.Command, Pass: s.handover.fds, Limits: s.limits,
	})
}
