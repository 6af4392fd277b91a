package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-gipc/gipc"
)

// ErrStopped says that the Supervisor is stopping or has ended, and starts no more children.
var ErrStopped = errors.New("the supervisor is stopped")

func init() { gipc.RegisterError("gipc/supervisor.ErrStopped", ErrStopped) }

// GaveUpError says that a Supervisor gave up on a child that had to be restarted too often. It wraps Err.
type GaveUpError struct {
	Child    string
	Restarts int           // within the last Window: as many as Options.MaxRestarts allows
	Window   time.Duration // Options.Window
	Err      error         // how the child ended the last time; nil if it ended well, but should not have ended
}

func (e *GaveUpError) Error() string {
	restarts := fmt.Sprint(e.Restarts, " restarts")
	if e.Restarts == 1 {
		restarts = "1 restart"
	}
	text := fmt.Sprintf("gipc: supervisor gave up on child %s after %s within %v", e.Child, restarts, e.Window)
	if e.Err == nil {
		return text + ": it ended without an error"
	}
	return text + ": " + e.Err.Error()
}

func (e *GaveUpError) Unwrap() error { return e.Err }

// wrap returns err, of a call on the Supervisor, as a *gipc.Error. It adds the cause of ctx where err is its error.
func wrap(ctx context.Context, op string, err error) error {
	if errors.Is(err, ctx.Err()) {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", err, cause)
		}
	}
	return failed(op, err)
}

func failed(op string, err error) error { return &gipc.Error{Op: op, On: "supervisor", Err: err} }
