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
// and in order. Every call that blocks takes a ctx, blocks no OS thread while it waits, and returns promptly when the ctx
// ends, without harm to the stream: a cancelled Get leaves what it had read for the next one; a cancelled Put has sent
// nothing, unless its error matches [ErrPartial].
//
// An end belongs to one process. Spawn moves it: from then on it is closed here, and using it is [ErrMoved].
//
// # Errors
//
// Get returns [io.EOF], as it is, when the writing end was closed between two messages. Every other error of an end is an
// [*Error] that names the call and the end; its cause is matched with errors.Is ([ErrClosed], [ErrPeerClosed],
// [io.ErrUnexpectedEOF], context.Canceled, …) or errors.As ([*TooLargeError], [*EncodeError], [*DecodeError]).
//
// # Trust
//
// A Reader may be fed by an untrusted process. Lengths are checked and memory grows only with the bytes that arrive;
// garbage gives an error, never a panic. What a message means is for its receiver to judge.
package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
)

// Options describe a channel. The zero value, and nil, are good. Both ends of a channel need the same Codec.
type Options[T any] struct {
	// Codec turns values into bytes and back. nil: CBOR[T]{}.
	Codec Codec[T]

	// MaxMessage is the greatest size of an encoded message, in bytes. 0: 1 GiB. The sender refuses a larger one
	// before a byte is sent, the receiver skips it; both get a *TooLargeError and stay usable.
	MaxMessage int

	// Buffer is how many bytes Put may queue in this process before they reach the pipe. 0: none, Put returns when
	// its message is in the pipe. What is queued is sent at once in the background; while that is being written, as
	// much again may queue up. It is lost if the process ends before Flush or Close.
	Buffer int

	// PipeSize is the capacity to ask the kernel for, in bytes. 0: the default of the OS, 64 KiB on Linux. It is a
	// hint, followed on Linux up to /proc/sys/fs/pipe-max-size, and on Windows.
	PipeSize int
}

// Pipe returns a channel over an OS pipe: what is Put into w comes out of r, in this process or, after Spawn has moved
// one of them, in another. It fails if T can't be encoded by the codec, naming the field (an *EncodeError), and if the
// process has no file descriptors left.
func Pipe[T any](opts *Options[T]) (*Reader[T], *Writer[T], error) {
	o, err := resolve(opts)
	if err != nil {
		return nil, nil, &Error{"make", nameOf[T]("Pipe"), err}
	}
	rf, wf, err := newPipe(o.PipeSize)
	if err != nil {
		return nil, nil, &Error{"make", nameOf[T]("Pipe"), err}
	}
	return newReader(rf, o), newWriter(wf, o), nil
}

// NewReader returns a Reader of the messages that arrive on a byte stream: a file, a socket, a net.Pipe, os.Stdin. The
// stream belongs to the Reader from here on, its read deadline included, and is closed with it.
//
// On a stream without deadlines (SetReadDeadline missing or failing) a Get still returns promptly when its ctx ends; a
// goroutine then stays in the stream's Read, and what it brings in goes to the next Get.
//
// NewReader panics if T can't be encoded by the codec or the options make no sense.
func NewReader[T any](r io.ReadCloser, opts *Options[T]) *Reader[T] {
	o, err := resolve(opts)
	if err != nil {
		panic(&Error{"make", nameOf[T]("Reader"), err})
	}
	return newReader(r, o)
}

// NewWriter returns a Writer that sends its messages on a byte stream. The stream belongs to the Writer from here on, its
// write deadline included, and is closed with it.
//
// On a stream without deadlines (SetWriteDeadline missing or failing) a Put still returns promptly when its ctx ends; if
// its message had been given to the stream's Write, the error matches ErrPartial and the message will still arrive.
// On a stream that a deadline breaks for good, as a tls.Conn, a Put that is cancelled while it writes ends the Writer.
//
// NewWriter panics if T can't be encoded by the codec or the options make no sense.
func NewWriter[T any](w io.WriteCloser, opts *Options[T]) *Writer[T] {
	o, err := resolve(opts)
	if err != nil {
		panic(&Error{"make", nameOf[T]("Writer"), err})
	}
	return newWriter(w, o)
}

// resolve checks the options and fills in the defaults.
func resolve[T any](opts *Options[T]) (Options[T], error) {
	var o Options[T]
	if opts != nil {
		o = *opts
	}
	if o.MaxMessage < 0 || o.Buffer < 0 || o.PipeSize < 0 {
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

// Reader is the receiving end of a channel of T. Pipe, NewDuplex and NewReader make them. Its methods may be called from
// any number of goroutines at once.
type Reader[T any] struct {
	in    *inbound
	codec Codec[T]
	raw   bool // payloads are the values
	plain bool // a T can't point into itself, so that the place where one was decoded may be used again
}

func newReader[T any](stream io.ReadCloser, o Options[T]) *Reader[T] {
	r := readerOn(newInbound(stream, o.MaxMessage), o.Codec)
	return &r
}

func readerOn[T any](in *inbound, codec Codec[T]) Reader[T] {
	_, raw := any(codec).(Raw)
	return Reader[T]{in: in, codec: codec, raw: raw, plain: isPlain[T]()}
}

// Get waits for the next message and returns it. It returns io.EOF when the writing end was closed and all messages have
// been read, io.ErrUnexpectedEOF if the stream was cut inside a message, and the ctx's error as soon as ctx ends; then no
// message is lost. After a *DecodeError or *TooLargeError the next Get returns the next message.
func (r *Reader[T]) Get(ctx context.Context) (T, error) {
	if !r.plain {
		v := new(T)
		err := r.GetInto(ctx, v)
		return *v, err
	}
	var zero T
	b := takeBox(zero) // decoders need the value on the heap
	err := r.GetInto(ctx, &b.v)
	v := b.v
	b.giveBack()
	return v, err
}

// GetInto is Get into *v, whose memory the codecs of this package reuse: that of maps, and of slices up to their length or
// 64 KiB, whichever is more; Raw uses all. Nothing else of the old value is left. After an error *v may hold part of a
// message.
func (r *Reader[T]) GetInto(ctx context.Context, v *T) error {
	if r.raw {
		return r.wrap(ctx, "get", r.in.nextInto(ctx, any(v).(*[]byte)))
	}
	payload, err := r.in.next(ctx)
	if err == nil {
		err = r.decode(payload, v)
	}
	return r.wrap(ctx, "get", err)
}

// decode ends what next began, also when the codec panics.
func (r *Reader[T]) decode(payload []byte, v *T) error {
	n := len(payload)
	defer r.in.done(n)
	if err := r.codec.Decode(payload, v); err != nil {
		return &DecodeError{Type: typeName[T](), Codec: r.codec.Name(), Size: n, Err: err}
	}
	return nil
}

// All returns the messages up to the end of the stream, which ends the loop without an error. Any error is yielded with
// what there is of a value; behind one that left the Reader usable (*DecodeError, *TooLargeError) the loop goes on.
// Several loops may run at once: each message goes to one of them.
func (r *Reader[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := r.Get(ctx)
			if err == io.EOF || !yield(v, err) || err != nil && !staysUsable(err) {
				return
			}
		}
	}
}

func staysUsable(err error) bool {
	var decode *DecodeError
	var size *TooLargeError
	return errors.As(err, &decode) || errors.As(err, &size)
}

// Chan returns a native channel of the messages, for use in select. It is closed at the end of the stream, at the first
// error, when ctx ends and when the Reader is closed; errs then delivers why, exactly once, nil for the end of the stream.
// A message that nobody had received when ctx ended goes to the next Get, before all others. End ctx, or close the Reader,
// if you stop receiving early: a goroutine waits for you.
func (r *Reader[T]) Chan(ctx context.Context) (msgs <-chan T, errs <-chan error) {
	out, why := make(chan T), make(chan error, 1)
	go func() {
		err := r.forward(ctx, out)
		if err == io.EOF {
			err = nil
		}
		why <- r.wrap(ctx, "chan", err)
		close(out)
	}()
	return out, why
}

func (r *Reader[T]) forward(ctx context.Context, out chan<- T) error {
	gone, err := r.in.join()
	if err != nil {
		return err
	}
	defer r.in.quit()
	o := newOffer(ctx)
	for {
		payload, err := r.in.next(ctx)
		if err != nil {
			return err
		}
		r.in.beginOffer(o, payload)
		var v T
		if err := r.decode(payload, &v); err != nil {
			r.in.endOffer(o)
			return err
		}
		select {
		case out <- v:
			r.in.endOffer(o)
		case <-ctx.Done():
			r.in.giveBack(o)
			return ctx.Err()
		case <-gone:
			r.in.endOffer(o)
			return r.in.closed()
		}
	}
}

// Close closes the end. It wakes every blocked Get, which returns ErrClosed, and drops what they had not delivered. A
// Put on the other side then fails with ErrPeerClosed. The second Close, and every call after the first, is ErrClosed.
func (r *Reader[T]) Close() error { return r.wrap(context.Background(), "close", r.in.shutdown(false)) }

// TryClose is Close if no call is under way; otherwise it closes nothing and returns ErrLocked. It doesn't block.
func (r *Reader[T]) TryClose() error {
	return r.wrap(context.Background(), "close", r.in.shutdown(true))
}

// Stats returns counters. It doesn't block, and works on a closed end too.
func (r *Reader[T]) Stats() Stats { return r.in.snapshot() }

// String names the end for messages and logs: its type, file descriptor and state.
func (r *Reader[T]) String() string { return describe(nameOf[T]("Reader"), r.in.stream, r.in.closed()) }

func (r *Reader[T]) wrap(ctx context.Context, op string, err error) error {
	return wrapError(ctx, op, r, err)
}

// Writer is the sending end of a channel of T. Pipe, NewDuplex and NewWriter make them. Its methods may be called from any
// number of goroutines at once.
type Writer[T any] struct {
	out   *outbound
	codec Codec[T]
	raw   bool // values are payloads
}

func newWriter[T any](stream io.WriteCloser, o Options[T]) *Writer[T] {
	w := writerOn(newOutbound(stream, o.MaxMessage, o.Buffer), o.Codec)
	return &w
}

func writerOn[T any](out *outbound, codec Codec[T]) Writer[T] {
	_, raw := any(codec).(Raw)
	return Writer[T]{out: out, codec: codec, raw: raw}
}

// Put sends v. It blocks while the pipe is full. Without Options.Buffer, nil means that every byte is in the pipe: the
// message arrives even if this process ends at once. With it, nil means that the message is queued, in order; Flush and
// Close wait until it is in the pipe. Put keeps no reference to v.
//
// When ctx ends, Put returns at once. If it had not begun to send, nothing is sent. If it had, the error also matches
// ErrPartial: the Writer sends the rest in the background and before anything else, and the message will arrive.
//
// A value that can't be encoded (*EncodeError) and one that is too large (*TooLargeError) send nothing. If the reading end
// is closed, the error matches ErrPeerClosed.
func (w *Writer[T]) Put(ctx context.Context, v T) error {
	p := newPut()
	body, err := w.encode(p, v)
	if err == nil {
		err = w.out.send(ctx, p, body)
	}
	p.free()
	return w.wrap(ctx, "put", err)
}

// putFed is Put for a value that a channel of Chan has taken.
func (w *Writer[T]) putFed(ctx context.Context, v T) error {
	p := newPut()
	p.feeding = true
	body, err := w.encode(p, v)
	if err == nil {
		err = w.out.send(ctx, p, body)
	}
	p.free()
	return err
}

// encode puts v's encoding into p.room. Of a large raw message it leaves the greater part where it is and returns that.
func (w *Writer[T]) encode(p *put, v T) (body []byte, err error) {
	if w.raw {
		payload := *any(&v).(*[]byte)
		first := len(payload)
		if first > copyLimit {
			first = unaligned(payload)
		}
		p.room = append(p.room, payload[:first]...)
		return payload[first:], nil
	}
	room, err := w.codec.Append(p.room, v)
	if err != nil {
		return nil, &EncodeError{Type: typeName[T](), Codec: w.codec.Name(), Err: err}
	}
	if len(room) < shortHeader || [shortHeader]byte(room) != unsetHeader {
		return nil, &EncodeError{Type: typeName[T](), Codec: w.codec.Name(), Err: errors.New("Append did not append to dst")}
	}
	p.room = room
	return nil, nil
}

// Flush waits until everything accepted before the call is in the pipe: what Put queued under Options.Buffer, the rest of a
// message whose Put was cancelled, and what a Chan had taken whose ctx has ended. A Chan still in use is not waited for:
// close it. When ctx ends Flush returns; the sending goes on.
func (w *Writer[T]) Flush(ctx context.Context) error {
	return w.wrap(ctx, "flush", w.out.flush(ctx))
}

// Chan returns a native channel whose values are Put, for use in select. Close it when you are done: errs then delivers
// nil once everything is in the pipe. If sending fails, when ctx ends and when the Writer is closed, errs delivers the
// error; nothing receives from the channel any more, so select on both. A value that the channel has taken is sent even if
// ctx ends.
func (w *Writer[T]) Chan(ctx context.Context) (msgs chan<- T, errs <-chan error) {
	in, why := make(chan T), make(chan error, 1)
	stop, err := w.out.beginFeed(ctx)
	if err != nil {
		why <- w.wrap(ctx, "chan", err)
		return in, why
	}
	go func() {
		err := w.feed(ctx, in, stop)
		w.out.endFeed()
		why <- w.wrap(ctx, "chan", err)
	}()
	return in, why
}

func (w *Writer[T]) feed(ctx context.Context, in <-chan T, stop <-chan struct{}) error {
	for {
		select {
		case v, more := <-in:
			if !more {
				return w.out.waitSent(ctx)
			}
			if err := w.putFed(ctx, v); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			return w.out.ending()
		}
	}
}

// Close waits until everything that Put accepted is in the pipe, completes the Puts under way, and closes the end. It
// blocks as long as the pipe is full and nobody reads: CloseNow ends that. The reader gets io.EOF behind the last message.
// The second Close, and every call after the first, is ErrClosed. An error that matches ErrPeerClosed says that queued
// messages were lost.
func (w *Writer[T]) Close() error {
	return w.wrap(context.Background(), "close", w.out.closeAfterSending(false))
}

// CloseNow closes the end at once. What is queued is dropped, Puts under way return ErrClosed; if one was halfway, the
// reader gets io.ErrUnexpectedEOF.
func (w *Writer[T]) CloseNow() error { return w.wrap(context.Background(), "close", w.out.closeNow()) }

// TryClose is Close if no call is under way and nothing is queued; otherwise it closes nothing and returns ErrLocked. It
// doesn't block.
func (w *Writer[T]) TryClose() error {
	return w.wrap(context.Background(), "close", w.out.closeAfterSending(true))
}

// Stats returns counters. It doesn't block, and works on a closed end too.
func (w *Writer[T]) Stats() Stats { return w.out.snapshot() }

// String names the end for messages and logs: its type, file descriptor and state.
func (w *Writer[T]) String() string {
	return describe(nameOf[T]("Writer"), w.out.stream, w.out.closed())
}

func (w *Writer[T]) wrap(ctx context.Context, op string, err error) error {
	return wrapError(ctx, op, w, err)
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
}

func wrapError(ctx context.Context, op string, on fmt.Stringer, err error) error {
	if err == nil || err == io.EOF {
		return err
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

func describe(name string, stream any, closed error) string {
	switch {
	case closed == nil:
		if fd := fdNumber(stream); fd >= 0 {
			return fmt.Sprintf("%s(fd %d)", name, fd)
		}
		return fmt.Sprintf("%s(%T)", name, stream)
	case errors.Is(closed, ErrMoved):
		return name + "(moved)"
	default:
		return name + "(closed)"
	}
}
