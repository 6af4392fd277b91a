package pool

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/go-gipc/gipc"
)

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
