package gipc

import (
	"context"
	"errors"
	"iter"
)

// Duplex is one side of a conversation: it receives In and sends Out, over two channels that are independent of each
// other. NewDuplex makes them; the methods of the zero value panic. They may be called from any number of goroutines at once.
type Duplex[In, Out any] struct {
	r *Reader[In]
	w *Writer[Out]
}

// NewDuplex returns the two sides of a conversation over two OS pipes: the first receives A and sends B, the second
// receives B and sends A. The options a are those of the channel of A, b those of the channel of B. It fails as Pipe does.
func NewDuplex[A, B any](a *Options[A], b *Options[B]) (*Duplex[A, B], *Duplex[B, A], error) {
	ra, wa, err := Pipe(a)
	if err != nil {
		return nil, nil, err
	}
	rb, wb, err := Pipe(b)
	if err != nil {
		return nil, nil, errors.Join(err, ra.Close(), wa.CloseNow())
	}
	return &Duplex[A, B]{r: ra, w: wb}, &Duplex[B, A]{r: rb, w: wa}, nil
}

// Reader returns the receiving half. It is the same end: closing it closes this half of the Duplex.
func (d *Duplex[In, Out]) Reader() *Reader[In] {
	d.made()
	return d.r
}

// Writer returns the sending half. It is the same end: closing it closes this half of the Duplex.
func (d *Duplex[In, Out]) Writer() *Writer[Out] {
	d.made()
	return d.w
}

// Get waits for the next message; see [Reader.Get].
func (d *Duplex[In, Out]) Get(ctx context.Context) (In, error) { return d.Reader().Get(ctx) }

// GetInto is Get into *v, reusing its memory; see [Reader.GetInto].
func (d *Duplex[In, Out]) GetInto(ctx context.Context, v *In) error {
	return d.Reader().GetInto(ctx, v)
}

// All returns the messages up to the end of the stream; see [Reader.All].
func (d *Duplex[In, Out]) All(ctx context.Context) iter.Seq2[In, error] { return d.Reader().All(ctx) }

// Put sends v; see [Writer.Put].
func (d *Duplex[In, Out]) Put(ctx context.Context, v Out) error { return d.Writer().Put(ctx, v) }

// Flush waits until what Put accepted is in the pipe; see [Writer.Flush].
func (d *Duplex[In, Out]) Flush(ctx context.Context) error { return d.Writer().Flush(ctx) }

// CloseWrite closes the sending half as Writer.Close does: the other side gets io.EOF behind the last message, and can
// still answer. It may block; see [Writer.Close].
func (d *Duplex[In, Out]) CloseWrite() error { return d.Writer().Close() }

// Close closes the sending half as Writer.Close does, and then the receiving half. It may block: see [Writer.Close]. It is no
// error if one half is closed already. If both are, Close returns ErrClosed.
func (d *Duplex[In, Out]) Close() error { return d.closeHalves(d.Writer().Close) }

// CloseNow closes both halves at once, and drops what is queued: see [Writer.CloseNow]. It is no error if one half is closed
// already. If both are, CloseNow returns ErrClosed.
func (d *Duplex[In, Out]) CloseNow() error { return d.closeHalves(d.Writer().CloseNow) }

func (d *Duplex[In, Out]) closeHalves(closeWriter func() error) error {
	errOut, errIn := closeWriter(), d.r.Close()
	switch outClosed, inClosed := errors.Is(errOut, ErrClosed), errors.Is(errIn, ErrClosed); {
	case outClosed && inClosed:
		return d.closedError()
	case outClosed:
		return errIn
	case inClosed:
		return errOut
	}
	return errors.Join(errOut, errIn)
}

// closedError is for a call on both halves when both are closed, or moved.
func (d *Duplex[In, Out]) closedError() error {
	return wrapError(context.Background(), "close", d, d.w.out.Err())
}

// TryClose closes what is still open of the two halves, if no call is under way on either. Otherwise it closes nothing and
// returns ErrLocked. If both are closed already, it returns ErrClosed. It doesn't block.
func (d *Duplex[In, Out]) TryClose() error {
	errIn := d.Reader().in.TryEnter() // keeps every Get out until both halves have agreed
	if errIn == ErrLocked {
		return d.r.wrap(context.Background(), "close", errIn)
	}
	errOut := d.w.TryClose()
	if errIn != nil {
		if errors.Is(errOut, ErrClosed) {
			return d.closedError()
		}
		return errOut
	}
	if errors.Is(errOut, ErrLocked) {
		d.r.in.Leave()
		return errOut
	}
	if err := d.r.Close(); err != nil || errors.Is(errOut, ErrClosed) {
		return err
	}
	return errOut
}

// Stats returns the counters of both halves. It doesn't block, and works on a closed Duplex too.
func (d *Duplex[In, Out]) Stats() Stats {
	s, out := d.Reader().Stats(), d.w.Stats()
	s.Sent, s.BytesSent, s.Writes, s.Queued = out.Sent, out.BytesSent, out.Writes, out.Queued
	s.Calls += out.Calls
	s.Wakeups += out.Wakeups
	return s
}

// String names the Duplex for messages and logs: its types, and both halves.
func (d *Duplex[In, Out]) String() string {
	name := "Duplex[" + typeName[In]() + ", " + typeName[Out]() + "]"
	if d.r == nil {
		return name + notMade
	}
	return name + "(" + d.r.String() + ", " + d.w.String() + ")"
}

// made panics if d is the zero value.
func (d *Duplex[In, Out]) made() {
	if d.r == nil {
		panic("gipc: a Duplex is made by NewDuplex")
	}
}
