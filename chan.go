// Package gipc gives a Go program typed channels to its own child processes.
//
// [Pipe] returns the two ends of a channel for values of one type, a [Reader] and a [Writer]; [NewDuplex] joins two
// channels of opposite direction. [Spawn] runs a function of this program, registered with [Register], in a child
// process. Ends anywhere in its arguments move to the child:
//
//	r, w, err := gipc.Pipe[Job](nil)
//	p, err := gipc.Spawn(ctx, resize, ResizeArgs{Jobs: r}, nil)
//	err = w.Put(ctx, Job{Path: "cat.png"})
//	err = p.Wait(ctx)
//
// # Ends
//
// All methods of an end may be called from any number of goroutines at once. Each message reaches exactly one Get, whole
// and in order. Get, Put and Flush take a ctx, block no OS thread while they wait, and return promptly when the ctx ends. The
// stream takes no harm: a cancelled Get leaves what it had read for the next one, and a cancelled Put has sent nothing, unless
// its error matches [ErrPartial]. A Writer's Close takes no ctx: see there.
//
// An end belongs to one process. Spawn moves it: from then on it is closed here, and using it is [ErrMoved]. To share work
// between several children, make a channel for each.
//
// An end that is dropped without Close is closed by the garbage collector, at any time later or never: its peer may wait for
// it as long. So close each end that you have not moved.
//
// # Errors
//
// Get returns [io.EOF], as it is, when the Writer was closed: all its messages have been read. Where the writing process
// crashed, was killed, exited, or dropped the end, Get returns an error that matches [io.ErrUnexpectedEOF]. Every error of an
// end but io.EOF is an [*Error] that names the call and the end. Its cause is matched with errors.Is ([ErrClosed],
// [ErrPeerClosed], [io.ErrUnexpectedEOF], context.Canceled, …) or errors.As ([*TooLargeError], [*EncodeError],
// [*DecodeError]).
//
// # Trust
//
// A Reader may be fed by an untrusted process. Lengths are checked, and memory grows only with the bytes that arrive. Garbage
// gives an error, never a panic. What a message means is for its receiver to judge.
package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/ring"
	"github.com/go-gipc/gipc/internal/wire"
)

// Options describe a channel. The zero value, and nil, are good. Both ends of a channel need the same Codec.
type Options[T any] struct {
	// Codec turns values into bytes and back. nil: CBOR[T]{}. Its comment says which values arrive otherwise than they were
	// put. A T that it can't encode is refused when the channel is made.
	Codec Codec[T]

	// MaxMessage is the greatest size of an encoded message, in bytes. 0: 1 GiB. The sender refuses a larger one
	// before a byte is sent, and the receiver skips it. Both get a *TooLargeError and stay usable.
	MaxMessage int

	// Buffer is how many bytes Put may queue in this process before they reach the pipe. 0: none, and Put returns when
	// its message is in the pipe. What is queued is sent at once, in the background. While that is being written, as
	// much again may queue up. What is still queued when the process ends is lost: call Flush or Close before.
	Buffer int

	// PipeSize is the capacity to ask the kernel for, in bytes. 0: the default of the OS, 64 KiB on Linux. There a pipe
	// through which large messages or large parts of a Buffer go grows to 256 KiB or 1 MiB, as long as those of this process
	// have grown by less than 16 MiB in all. PipeSize is a hint, followed on Linux up to /proc/sys/fs/pipe-max-size, and on Windows.
	PipeSize int

	// Shared is how many bytes of memory to share between the two ends, rounded up to a power of two of at least a page and
	// at most 1 GiB. 0: none. Messages then go through that memory instead of the pipe, and a Put or Get makes no system call
	// while the other side is awake. All that is said of the pipe holds for the memory: Put waits while it is full, nil from Put
	// says that the message is in it, and it is read even if the writer's process is killed the next instant. A message that
	// fits goes in as a whole: its Put never returns ErrPartial. A Put that has to wait goes on when half of it is free.
	//
	// The memory is allocated while the channel lives, and each end holds three descriptors and maps it. It is a hint,
	// followed by Pipe and NewDuplex on Linux: elsewhere, and where a limit leaves no memory, the channel is a pipe. PipeSize
	// then means nothing. See docs/shared.md for when to use it.
	Shared int

	// EndMark says that the stream ends with a mark, which Writer.Close writes. Without the mark the Reader gets
	// io.ErrUnexpectedEOF, so that a crash of the writer's process doesn't look like the end. Pipe and NewDuplex always
	// set it. For NewReader and NewWriter, set it on both sides, or on neither where the other side is not gipc.
	EndMark bool
}

// defaultMaxMessage is Options.MaxMessage where it is 0, in bytes.
const defaultMaxMessage = 1 << 30

// Pipe returns a channel over an OS pipe: what is Put into w comes out of r, in this process or, after Spawn has moved
// one of them, in another. It fails if T can't be encoded by the codec, naming the field (an *EncodeError), and if the
// process has no file descriptors left.
func Pipe[T any](opts *Options[T]) (*Reader[T], *Writer[T], error) {
	o, err := resolve(opts)
	if err != nil {
		return nil, nil, &Error{"make", nameOf[T]("Pipe"), err}
	}
	o.EndMark = true
	if o.Shared > 0 {
		if source, sink, err := ring.New(o.Shared); err == nil { // else a pipe does
			r := readerOn(wire.InboundOver(source, source, o.wireOptions()), o.Codec)
			w := writerOn(wire.OutboundOver(sink, sink, o.wireOptions()), o.Codec)
			return &r, &w, nil
		}
	}
	on := o.wireOptions()
	on.Grows = o.PipeSize == 0
	rf, wf, err := fd.NewPipe(o.PipeSize)
	if err != nil {
		return nil, nil, &Error{"make", nameOf[T]("Pipe"), err}
	}
	r, w := readerOn(wire.NewInbound(rf, on), o.Codec), writerOn(wire.NewOutbound(wf, on), o.Codec)
	return &r, &w, nil
}

// NewReader returns a Reader of the messages that arrive on a byte stream: a file, a socket, a net.Pipe, os.Stdin. The
// stream belongs to the Reader from here on, its read deadline included, and is closed with it.
//
// On a stream without deadlines (SetReadDeadline missing or failing) a Get still returns promptly when its ctx ends. A
// goroutine then stays in the stream's Read, and what that brings in goes to the next Get.
//
// NewReader panics if r is nil, if T can't be encoded by the codec, and if the options make no sense.
func NewReader[T any](r io.ReadCloser, opts *Options[T]) *Reader[T] {
	o, err := resolve(opts)
	if err == nil && isNil(r) {
		err = errNilStream
	}
	if err != nil {
		panic(&Error{"make", nameOf[T]("Reader"), err})
	}
	return newReader(r, o)
}

// NewWriter returns a Writer that sends its messages on a byte stream. The stream belongs to the Writer from here on, its
// write deadline included, and is closed with it.
//
// On a stream without deadlines (SetWriteDeadline missing or failing) a Put still returns promptly when its ctx ends. If its
// message had been given to the stream's Write, the error matches ErrPartial and the message will still arrive. The same
// holds on a TLS connection, which a missed write deadline would break for good. If a missed deadline breaks a stream of
// another kind, a Put that was cancelled while it wrote is the last: Flush and Close then say that its message is lost.
//
// NewWriter panics if w is nil, if T can't be encoded by the codec, and if the options make no sense.
func NewWriter[T any](w io.WriteCloser, opts *Options[T]) *Writer[T] {
	o, err := resolve(opts)
	if err == nil && isNil(w) {
		err = errNilStream
	}
	if err != nil {
		panic(&Error{"make", nameOf[T]("Writer"), err})
	}
	return newWriter(w, o)
}

var errNilStream = errors.New("the stream is nil")

func isNil(stream any) bool {
	v := reflect.ValueOf(stream)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// wireOptions are those of the half under an end.
func (o *Options[T]) wireOptions() wire.Options {
	return wire.Options{MaxMessage: o.MaxMessage, Buffer: o.Buffer, EndMark: o.EndMark}
}

// resolve checks the options and fills in the defaults.
func resolve[T any](opts *Options[T]) (Options[T], error) {
	var o Options[T]
	if opts != nil {
		o = *opts
	}
	if o.MaxMessage < 0 || o.Buffer < 0 || o.PipeSize < 0 || o.Shared < 0 {
		return o, errors.New("an option is negative")
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.Codec == nil {
		o.Codec = CBOR[T]{}
	}
	if err := checkCodec(o.Codec); err != nil {
		return o, &EncodeError{Type: typeName[T](), Codec: o.Codec.Name(), Err: err}
	}
	return o, nil
}

// Stats counts what has passed an end. A Reader fills in the received half, a Writer the other, a Duplex both.
type Stats struct {
	Received      uint64 // messages taken by Get and Chan, those of a *DecodeError too
	BytesReceived uint64 // their encoded size
	Reads         uint64 // reads of the stream that they took

	Sent      uint64 // messages accepted by Put
	BytesSent uint64 // their encoded size, with the frames' headers
	Writes    uint64 // writes to the stream that they took
	Queued    int    // bytes not yet in the stream of messages whose Put has returned

	Wakeups uint64 // with Options.Shared: how often this end woke the other one, or slept and was woken by it

	Calls int // under way, those that wait for others included; a Writer's Chan counts while it sends a value
}

// ringHalf is the stream of an end with Options.Shared.
type ringHalf interface {
	Number() int
	Size() int
	Wakeups() uint64
	Duplicate() ([]fd.Inheritable, error)
}

// wakeups are those of a half's stream.
func wakeups(stream any) uint64 {
	if half, shared := stream.(ringHalf); shared {
		return half.Wakeups()
	}
	return 0
}

func wrapError(ctx context.Context, op string, on fmt.Stringer, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if size, ok := err.(*wire.SizeError); ok {
		err = &TooLargeError{Size: size.Size, Limit: size.Limit}
	}
	if errors.Is(err, ctx.Err()) {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", err, cause)
		}
	}
	return &Error{Op: op, On: on.String(), Err: err}
}

func typeName[T any]() string { return reflect.TypeFor[T]().String() }

func nameOf[T any](kind string) string { return kind + "[" + typeName[T]() + "]" }

// notMade stands behind the name of a zero end.
const notMade = "(not made)"

func describe(name string, stream any, closed error) string {
	switch {
	case closed == nil:
		if half, shared := stream.(ringHalf); shared {
			return fmt.Sprintf("%s(fd %d, %d bytes shared)", name, half.Number(), half.Size())
		}
		if fd := fd.Number(stream); fd >= 0 {
			return fmt.Sprintf("%s(fd %d)", name, fd)
		}
		return fmt.Sprintf("%s(%T)", name, stream)
	case errors.Is(closed, ErrMoved):
		return name + "(moved)"
	default:
		return name + "(closed)"
	}
}
