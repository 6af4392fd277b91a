package gipc

import (
	"errors"
	"fmt"

	"github.com/go-gipc/gipc/internal/remote"
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

// Those of this package travel under these names.
func init() {
	for _, known := range [...]struct {
		name string
		err  error
	}{
		{"ErrClosed", ErrClosed}, {"ErrMoved", ErrMoved}, {"ErrLocked", ErrLocked}, {"ErrPeerClosed", ErrPeerClosed},
		{"ErrPartial", ErrPartial}, {"ErrFrame", ErrFrame}, {"ErrNotInitialized", ErrNotInitialized},
		{"ErrUnknownEntrypoint", ErrUnknownEntrypoint}, {"ErrVersionMismatch", ErrVersionMismatch},
		{"ErrNotReady", ErrNotReady}, {"ErrNotEntrypoint", ErrNotEntrypoint},
	} {
		RegisterError("gipc."+known.name, known.err)
	}
}

// RegisterError gives a sentinel a name under which it travels between processes. Call it when the program starts, in parent
// and child alike, as with [Register]:
//
//	var ErrNoSuchUser = errors.New("there is no such user")
//
//	func init() { gipc.RegisterError("users.ErrNoSuchUser", ErrNoSuchUser) }
//
// What an entrypoint returns matches in the parent, by errors.Is, each sentinel that it matched in the child and that both
// processes know. Known without RegisterError are this module's, and of the standard library [io.EOF], [io.ErrUnexpectedEOF],
// [context.Canceled], [context.DeadlineExceeded], [os.ErrDeadlineExceeded], [os.ErrProcessDone], [errors.ErrUnsupported],
// [fs.ErrNotExist], [fs.ErrPermission], [fs.ErrExist], [fs.ErrInvalid] and [fs.ErrClosed]. At most 256 travel with one error.
// The types of errors, and what they hold, stay behind.
//
// RegisterError panics if err is nil, and if the name is empty, taken, or longer than 255 bytes. One error may have several
// names. It may be called from any goroutine.
func RegisterError(name string, err error) {
	if err := remote.Register(name, err); err != nil {
		panic("gipc: RegisterError: " + err.Error())
	}
}

// AppendRemoteError appends an encoding of err to dst: its text, of which at most 256 KiB travel, and the sentinels that it
// matches, as Spawn sends them from child to parent. It is for those who build a transport of their own. Err may be nil.
// The encoding has at most 512 KiB, and docs/protocol.md specifies it. AppendRemoteError calls the Error and Is methods of
// err, and keeps no reference to it or to dst.
func AppendRemoteError(dst []byte, err error) []byte { return remote.Append(dst, err) }

// ParseRemoteError makes an error of what AppendRemoteError has appended in any process, which must be all of src. It has the
// same text, and matches the same sentinels, of those that this process knows. It is nil if the error was nil. ParseRemoteError
// keeps no reference to src.
//
// If src is anything else, err is a *DecodeError and remote is nil. So src may come from a hostile process.
func ParseRemoteError(src []byte) (remote, err error) {
	e, err := parseRemote(src, false)
	if err != nil {
		return nil, &DecodeError{Type: "error", Codec: nameCBOR, Size: len(src), Err: err}
	}
	if e == nil {
		return nil, nil
	}
	return e, nil
}
