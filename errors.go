package gipc

import (
	"errors"
	"fmt"

	"github.com/go-gipc/gipc/internal/wire"
)

// States of an end or a process. Match them with errors.Is.
var (
	// ErrClosed says that this end was closed here. It also matches [os.ErrClosed].
	ErrClosed = wire.ErrClosed

	// ErrMoved says that this end was handed to a child process by Spawn. The error that wraps it names the child.
	// It also matches ErrClosed and [os.ErrClosed].
	ErrMoved = wire.ErrMoved

	// ErrLocked says that an operation is under way on the end: TryClose closed nothing, Spawn moved nothing.
	ErrLocked = wire.ErrLocked

	// ErrPeerClosed says that nobody can read what is written: the reading end is closed everywhere.
	ErrPeerClosed = wire.ErrPeerClosed

	// ErrPartial says that a Put was cancelled after its first byte had reached the pipe. The Writer keeps the rest and
	// sends it before anything else. The message will still arrive, so don't Put it again. Where a Write can't be
	// interrupted, every Put that is cancelled during its Write returns ErrPartial: on streams without write deadlines, on
	// TLS connections, and on files and sockets on Windows.
	ErrPartial = wire.ErrPartial

	// ErrFrame says that the stream holds bytes that can't be a message's length. The position in the stream is lost, and
	// every later Get returns this error too.
	ErrFrame = wire.ErrFrame

	// ErrNotInitialized says that Spawn was called in a program whose main or TestMain doesn't call [Init].
	ErrNotInitialized = errors.New("Init was not called: make gipc.Init() the first line of main, and of TestMain in tests")

	// ErrUnknownEntrypoint says that the child's program has no entrypoint of that name.
	ErrUnknownEntrypoint = errors.New("the child has no entrypoint of that name: call Register in a package-level variable, so that it runs in parent and child alike")

	// ErrVersionMismatch says that the child runs another build of the program than the parent.
	ErrVersionMismatch = errors.New("the child runs another build of this program: the executable was replaced; restart the parent")

	// ErrNotReady says that a child ended, or had to be ended, before it could run its entrypoint.
	ErrNotReady = errors.New("the child did not become ready")

	// ErrNotEntrypoint says that [Ready] got a ctx that doesn't come from an entrypoint's.
	ErrNotEntrypoint = errors.New("the ctx is not that of an entrypoint")
)

// Error is the type of every error of this package's calls that concerns one end or one child,
// except io.EOF, which Get returns as it is. Its cause is matched with errors.Is and errors.As.
type Error struct {
	Op  string // the call that failed: "get", "put", "flush", "close", "spawn", …
	On  string // what it was called on, as its String method names it
	Err error  // the cause
}

func (e *Error) Error() string { return "gipc: " + e.Op + " " + e.On + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// TooLargeError says that a message is above its channel's limit. The channel stays usable:
// the sender wrote nothing, the receiver skips the message.
type TooLargeError struct {
	Size  uint64 // bytes of the encoded message
	Limit int    // Options.MaxMessage of the end that refused it
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("message of %d bytes is above the limit of %d: raise Options.MaxMessage on both ends", e.Size, e.Limit)
}

// EncodeError says that a value could not be encoded. Nothing was sent.
type EncodeError struct {
	Type  string // Go type of the value, or of the offending part
	Codec string // the codec's Name
	Err   error
}

func (e *EncodeError) Error() string {
	return "encode " + e.Type + " as " + e.Codec + ": " + e.Err.Error()
}

func (e *EncodeError) Unwrap() error { return e.Err }

// DecodeError says that a message arrived whole but is not a value of the channel's type.
// The message is consumed: the next Get returns the one after it.
type DecodeError struct {
	Type  string // Go type that was asked for
	Codec string // the codec's Name
	Size  int    // bytes of the encoded message
	Err   error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("decode %d bytes of %s into %s: %v", e.Size, e.Codec, e.Type, e.Err)
}

func (e *DecodeError) Unwrap() error { return e.Err }
