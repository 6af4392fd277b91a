package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-gipc/gipc"
)

// What a Pool says of itself. Match these with errors.Is. They never match through a [*TaskError]: what a function returns is
// never taken for what the pool says.
var (
	// ErrClosed says that the pool was closed, or takes no more tasks because of Drain.
	ErrClosed = errors.New("the pool is closed")

	// ErrQueueFull says that as many tasks are under way as the pool takes: try again later, or turn the work away. Options.Queue
	// says how many that are.
	ErrQueueFull = errors.New("the pool's queue is full")

	// ErrTimeout says that the task ran for longer than Options.Timeout.
	ErrTimeout = errors.New("the task ran for longer than Options.Timeout")
)

// TaskError says that a task's function failed: it returned an error, or called runtime.Goexit, its argument could not be
// decoded there, or its result could not be sent or decoded here. Its worker goes on.
//
// Err has the text of the function's error and matches the same sentinels with errors.Is, as far as gipc knows them: see
// [gipc.RegisterError]. If Err wraps a *gipc.DecodeError, *gipc.EncodeError or *gipc.TooLargeError, it is about the argument
// or the result.
type TaskError struct {
	Task string // its name
	Err  error
}

func (e *TaskError) Error() string { return "gipc/pool: task " + e.Task + ": " + e.Err.Error() }

func (e *TaskError) Unwrap() error { return e.Err }

// WorkerError says that the worker process ended under a task, by a crash, a kill, os.Exit, or because it broke the protocol.
// Nobody knows how far the task got.
type WorkerError struct {
	Task   string // its name
	PID    int    // of the last worker
	Starts int    // how often the task was started, each time on another worker
	Exit   *gipc.ExitError
}

func (e *WorkerError) Error() string {
	return fmt.Sprintf("gipc/pool: task %s: its worker ended under it, at start %d: %v", e.Task, e.Starts, e.Exit)
}

// Unwrap returns Exit, which is never nil. After os.Exit(0) its Code is 0.
func (e *WorkerError) Unwrap() error { return e.Exit }

// ctxError is the error of a ctx that has ended, and its cause where that says more.
type ctxError struct{ err, cause error }

// endOf returns the error of a ctx that has ended.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(err, cause) {
		cause = nil
	}
	return &ctxError{err, cause}
}

func (e *ctxError) Error() string {
	if e.cause == nil {
		return e.err.Error()
	}
	return fmt.Sprintf("%v: %v", e.err, e.cause)
}

// Unwrap returns both.
func (e *ctxError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.err}
	}
	return []error{e.err, e.cause}
}

// StartError says that no worker can be started.
type StartError struct {
	Task     string // its name
	Failures int    // in a row
	Err      error  // the last of them
}

func (e *StartError) Error() string {
	if e.Failures == 1 {
		return fmt.Sprintf("gipc/pool: task %s: its worker can't be started: %v", e.Task, e.Err)
	}
	return fmt.Sprintf("gipc/pool: task %s: its workers can't be started, %d failures in a row: %v", e.Task, e.Failures, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }
