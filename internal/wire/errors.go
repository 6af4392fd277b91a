package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// States of an end.
var (
	ErrClosed     error = &closedError{"end is closed"}                    // also matches os.ErrClosed
	ErrMoved      error = &closedError{"end was moved to a child process"} // also matches ErrClosed
	ErrLocked           = errors.New("an operation is under way on this end")
	ErrPeerClosed       = errors.New("the reading end is closed")
	ErrPartial          = errors.New("the message is partly sent and will still arrive")
	ErrFrame            = errors.New("malformed frame: the other side does not speak gipc's wire format")
)

// errUnmarked is the end of a stream behind a whole message, but without the mark.
var errUnmarked = fmt.Errorf("%w: the Writer was not closed, its process may have crashed: there may be more than what has come", io.ErrUnexpectedEOF)

// closedError is a sentinel that also matches the closed errors above it: ErrMoved is ErrClosed is os.ErrClosed.
type closedError struct{ text string }

func (e *closedError) Error() string { return e.text }

func (e *closedError) Is(target error) bool {
	return target == os.ErrClosed || target == ErrClosed
}

// ctxErr returns the error of a ctx. A nil ctx panics here, before it can leave anything locked.
func ctxErr(ctx context.Context) error {
	if ctx == nil {
		panic("gipc: a call got a nil Context")
	}
	return ctx.Err()
}

// SizeError says that a message is above the limit of the half that refused it. The half stays usable: nothing of the
// message was written, or it is skipped.
type SizeError struct {
	Size  uint64 // bytes of the payload
	Limit int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("message of %d bytes is above the limit of %d", e.Size, e.Limit)
}
