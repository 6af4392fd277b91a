package gipc

import (
	"context"
	"io"

	"github.com/go-gipc/gipc/internal/unwind"
	"github.com/go-gipc/gipc/internal/wire"
)

// Writer is the sending end of a channel of T. Pipe, NewDuplex and NewWriter make them; the methods of the zero value panic. They
// may be called from any number of goroutines at once.
type Writer[T any] struct {
	out   *wire.Outbound
	codec Codec[T]
	raw   bool // values are payloads
}

func newWriter[T any](stream io.WriteCloser, o Options[T]) *Writer[T] {
	w := writerOn(wire.NewOutbound(stream, o.wireOptions()), o.Codec)
	return &w
}

func writerOn[T any](out *wire.Outbound, codec Codec[T]) Writer[T] {
	_, raw := any(codec).(Raw)
	return Writer[T]{out: out, codec: codec, raw: raw}
}

// Put sends v. It blocks while the pipe is full. Without Options.Buffer, nil means that every byte is in the pipe: the
// message arrives even if this process ends at once. With it, nil means that the message is queued, in order. Flush and Close
// wait until it is in the pipe. Put keeps no reference to v.
//
// When ctx ends, Put returns at once. If it had not begun to send, nothing is sent. If it had, the error also matches
// ErrPartial: the Writer sends the rest in the background and before anything else, and the message will arrive.
//
// A value that can't be encoded (*EncodeError) and one that is too large (*TooLargeError) send nothing. If the reading end
// is closed, the error matches ErrPeerClosed.
func (w *Writer[T]) Put(ctx context.Context, v T) error {
	return w.wrap(ctx, "put", w.put(ctx, v, false))
}

// put is Put. Fed says that a channel of Chan has taken v.
func (w *Writer[T]) put(ctx context.Context, v T, fed bool) error {
	out := w.made()
	if w.raw && !fed && out.TrySend(ctx, *any(&v).(*[]byte)) {
		return nil
	}
	f := wire.NewFrame()
	f.Fed = fed
	err := w.encode(f, v)
	if err == nil {
		err = out.Send(ctx, f)
	} else if ending := out.Ending(); ending != nil && !fed {
		err = ending // a closed end says so, whatever it is given
	}
	f.Free()
	return err
}

// Flush waits until everything accepted before the call is in the pipe: what Put queued under Options.Buffer, the rest of a
// message whose Put was cancelled, and what a Chan had taken whose ctx has ended. A Chan still in use is not waited for:
// close it. When ctx ends, Flush returns, and the sending goes on.
func (w *Writer[T]) Flush(ctx context.Context) error {
	return w.wrap(ctx, "flush", w.made().Flush(ctx))
}

// Chan returns a native channel whose values are Put, for use in select. Close it when you are done. Then errs delivers nil,
// once everything is in the pipe. If sending fails, when ctx ends and when the Writer is closed, errs delivers the error, and
// nothing receives from the channel any more. So select on both. A value that the channel has taken is sent even if ctx ends.
func (w *Writer[T]) Chan(ctx context.Context) (msgs chan<- T, errs <-chan error) {
	in, why := make(chan T), make(chan error, 1)
	stop, err := w.made().BeginFeed(ctx)
	if err != nil {
		why <- w.wrap(ctx, "chan", err)
		return in, why
	}
	go func() {
		err := w.feed(ctx, in, stop)
		w.out.EndFeed()
		why <- w.wrap(ctx, "chan", err)
	}()
	return in, why
}

func (w *Writer[T]) feed(ctx context.Context, in <-chan T, stop <-chan struct{}) error {
	for {
		select {
		case v, more := <-in:
			if !more {
				return w.out.WaitSent(ctx)
			}
			if err := w.put(ctx, v, true); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			return w.out.Ending()
		}
	}
}

// Close waits until everything that Put accepted is in the pipe, completes the Puts under way, and closes the end. The
// reader gets io.EOF behind the last message. That is what tells it that all was sent: so close a Writer when you are done,
// and not in a defer that runs when something failed. A Close that runs while its goroutine panics sends what was
// accepted, but the reader gets io.ErrUnexpectedEOF.
//
// Close takes no ctx. It blocks while the pipe is full, for ever if the reader never reads. Three things end the wait: the
// reader reads, the reading end is closed or its process ends, or CloseNow is called, which drops what is queued. To wait
// for a limited time, call Flush with a ctx first, and then Close or CloseNow.
//
// The second Close, and every call after the first, is ErrClosed. An error that matches ErrPeerClosed says that queued
// messages were lost.
func (w *Writer[T]) Close() error {
	return w.wrap(context.Background(), "close", w.made().Close(!unwinding()))
}

// CloseNow closes the end at once. What is queued is dropped, and Puts under way return ErrClosed. The reader gets
// io.ErrUnexpectedEOF, or, where the stream has no mark of its end, io.EOF if no Put was halfway.
func (w *Writer[T]) CloseNow() error {
	return w.wrap(context.Background(), "close", w.made().CloseNow())
}

// TryClose is Close if no call is under way and nothing is queued; otherwise it closes nothing and returns ErrLocked. It
// waits for nothing but the stream's own Close.
func (w *Writer[T]) TryClose() error {
	return w.wrap(context.Background(), "close", w.made().TryClose(!unwinding()))
}

// Stats returns counters. It doesn't block, and works on a closed end too.
func (w *Writer[T]) Stats() Stats {
	s := w.made().Stats()
	return Stats{
		Sent: s.Messages, BytesSent: s.Bytes, Writes: s.Writes, Queued: s.Queued, Calls: s.Calls, Wakeups: wakeups(w.out.Stream()),
	}
}

// String names the end for messages and logs: its type, file descriptor and state.
func (w *Writer[T]) String() string {
	if w.out == nil {
		return nameOf[T]("Writer") + notMade
	}
	return describe(nameOf[T]("Writer"), w.out.Stream(), w.out.Err())
}

// made returns the half under the end. It panics if that is the zero value.
func (w *Writer[T]) made() *wire.Outbound {
	if w.out == nil {
		panic("gipc: a Writer is made by Pipe, NewDuplex or NewWriter")
	}
	return w.out
}

func (w *Writer[T]) wrap(ctx context.Context, op string, err error) error {
	return wrapError(ctx, op, w, err)
}

// unwinding says whether the calling goroutine is being ended: what it was doing is not done.
func unwinding() bool {
	goexits, panics := unwind.Reason()
	return goexits || panics
}
