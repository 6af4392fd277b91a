package gipc

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/go-gipc/gipc/internal/codec"
	"github.com/go-gipc/gipc/internal/wire"
)

// Reader is the receiving end of a channel of T. Pipe, NewDuplex and NewReader make them; the methods of the zero value panic.
// They may be called from any number of goroutines at once.
type Reader[T any] struct {
	in    *wire.Inbound
	codec Codec[T]
	raw   bool // payloads are the values
	plain bool // a T can't point into itself, so that the place where one was decoded may be used again
}

func newReader[T any](stream io.ReadCloser, o Options[T]) *Reader[T] {
	r := readerOn(wire.NewInbound(stream, o.wireOptions()), o.Codec)
	return &r
}

func readerOn[T any](in *wire.Inbound, c Codec[T]) Reader[T] {
	_, raw := any(c).(Raw)
	return Reader[T]{in: in, codec: c, raw: raw, plain: codec.IsPlain[T]()}
}

// Get waits for the next message and returns it. It returns io.EOF when the Writer was closed and all messages have been
// read, now and ever after. It returns io.ErrUnexpectedEOF if the stream ended otherwise: the writer's process crashed, was
// killed, exited or dropped the end, or the stream was cut inside a message. (A Reader of NewReader without
// Options.EndMark can't tell, and returns io.EOF at any end between two messages.)
//
// It returns the ctx's error as soon as ctx ends, and loses no message. After a *DecodeError or *TooLargeError the next Get
// returns the next message.
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

// GetInto is Get into *v, which is then what Get would have returned. Nothing of the old value is left, in unexported fields
// neither. The codecs of this package reuse the memory of *v where the message sets it: that of slices up to their length or
// 64 KiB, whichever is more, and that of maps with [CBOR]. Raw reuses all of it. After an error *v may hold part of a message.
func (r *Reader[T]) GetInto(ctx context.Context, v *T) error {
	in := r.made()
	if v == nil {
		panic("gipc: GetInto got a nil pointer")
	}
	if r.raw {
		return r.wrap(ctx, "get", in.NextInto(ctx, any(v).(*[]byte)))
	}
	payload, err := in.Next(ctx)
	if err == nil {
		err = r.decode(payload, v)
	}
	return r.wrap(ctx, "get", err)
}

// All returns the messages up to the end of the stream, where Get returns io.EOF: that ends the loop without an error. Any
// other error is yielded with what there is of a value. Behind a *DecodeError or a *TooLargeError, which leave the Reader
// usable, the loop goes on. Several loops may run at once: each message goes to one of them.
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

// Chan returns a native channel of the messages, for use in select. The channel is closed at the end of the stream, at the
// first error, when ctx ends and when the Reader is closed. Then errs delivers the reason, exactly once: nil for the end of
// the stream.
//
// A message that nobody had received when ctx ended goes to the next Get, before all others. If you stop receiving early,
// end ctx or close the Reader, because a goroutine waits for you.
func (r *Reader[T]) Chan(ctx context.Context) (msgs <-chan T, errs <-chan error) {
	out, why := make(chan T), make(chan error, 1)
	offers, err := r.made().Offer(ctx)
	if err != nil {
		why <- r.wrap(ctx, "chan", err)
		close(out)
		return out, why
	}
	go func() {
		err := r.forward(ctx, offers, out)
		if err == io.EOF {
			err = nil
		}
		why <- r.wrap(ctx, "chan", err)
		close(out)
	}()
	return out, why
}

func (r *Reader[T]) forward(ctx context.Context, offers *wire.Offers, out chan<- T) error {
	defer offers.Quit()
	for {
		payload, err := r.in.Next(ctx)
		if err != nil {
			return err
		}
		offers.Begin(payload)
		var v T
		if err := r.decode(payload, &v); err != nil {
			offers.Accepted()
			return err
		}
		select {
		case out <- v:
			offers.Accepted()
		case <-ctx.Done():
			offers.GiveBack()
			return ctx.Err()
		case <-offers.Gone():
			offers.Accepted()
			return r.in.Err()
		}
	}
}

// Close closes the end. It wakes every blocked Get, which returns ErrClosed, and drops what they had not delivered. A
// Put on the other side then fails with ErrPeerClosed. The second Close, and every call after the first, is ErrClosed.
func (r *Reader[T]) Close() error { return r.wrap(context.Background(), "close", r.made().Close()) }

// TryClose is Close if no call is under way; otherwise it closes nothing and returns ErrLocked. It waits for
// nothing but the stream's own Close.
func (r *Reader[T]) TryClose() error {
	return r.wrap(context.Background(), "close", r.made().TryClose())
}

// Stats returns counters. It doesn't block, and works on a closed end too.
func (r *Reader[T]) Stats() Stats {
	s := r.made().Stats()
	return Stats{Received: s.Messages, BytesReceived: s.Bytes, Reads: s.Reads, Calls: s.Calls, Wakeups: wakeups(r.in.Stream())}
}

// String names the end for messages and logs: its type, file descriptor and state.
func (r *Reader[T]) String() string {
	if r.in == nil {
		return nameOf[T]("Reader") + notMade
	}
	return describe(nameOf[T]("Reader"), r.in.Stream(), r.in.Err())
}

// made returns the half under the end. It panics if that is the zero value.
func (r *Reader[T]) made() *wire.Inbound {
	if r.in == nil {
		panic("gipc: a Reader is made by Pipe, NewDuplex or NewReader")
	}
	return r.in
}

func (r *Reader[T]) wrap(ctx context.Context, op string, err error) error {
	return wrapError(ctx, op, r, err)
}
