package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/stream"
)

// Outbound is the writing half of an end: it writes whole frames to a byte stream. Its methods may be called from any number
// of goroutines at once.
//
// A Send that finds nobody writing writes its frame itself. Otherwise its frame waits in line, and the drain, a goroutine
// that lives only while there is something to do, writes in one call what has come together. The drain also writes the
// queue: what buffered Sends left there, and the rest of a frame whose Send was cancelled halfway.
type Outbound struct {
	stream  io.Closer
	foreign bool // the stream's code is somebody else's: it may panic
	dst     stream.Sink
	instant stream.Instant // dst, if it is one
	opts    Options
	run     func() // drain, made once: starting it allocates nothing

	mu sync.Mutex // guards what follows; unlock lets go of it
	sending
	header  [shortHeader]byte // of TrySend
	stop    chan struct{}     // tells native channels to end; made by the first
	wake    chan struct{}     // for one sleeper, where all have to sleep; nil while it is in use
	waiters []*waiter
	ended   bool // the stream is closed
}

// NewOutbound returns the writing half over the byte stream w, which belongs to it from here on.
func NewOutbound(w io.WriteCloser, opts Options) *Outbound {
	out := OutboundOver(w, stream.NewSink(w), opts)
	_, ours := w.(fd.End)
	out.foreign = !ours
	return out
}

// OutboundOver does so with a Sink of ours. What is closed with it is s.
func OutboundOver(s io.Closer, dst stream.Sink, opts Options) *Outbound {
	out := &Outbound{stream: s, dst: dst, opts: opts}
	if opts.Grows {
		stream.LetGrow(dst)
	}
	out.instant, _ = dst.(stream.Instant)
	out.buffer, out.interruptible = opts.Buffer, out.dst.Interruptible()
	out.run = out.drain
	if !out.interruptible {
		out.wake = make(chan struct{}, 1)
	}
	return out
}

// CopyLimit is up to which size, in bytes, a payload is better copied behind its header.
func (out *Outbound) CopyLimit() int {
	if out.instant != nil {
		return copyLimitInstant
	}
	return copyLimit
}

// waiter is a call that waits for a state.
type waiter struct {
	reached func() bool
	wake    chan struct{} // closed when it is reached
}

// unlock unlocks mu, after it has done what the state calls for: it starts the drain, ends native channels, and wakes who
// waits for the state. So nobody who changes the state has to know who waits for it.
func (out *Outbound) unlock() {
	if out.due() {
		out.writer = drainer
		go out.run()
	}
	if out.stop != nil && (out.closing || out.err != nil || out.broken != nil) {
		close(out.stop)
		out.stop = nil
	}
	if len(out.waiters) > 0 {
		out.waiters = slices.DeleteFunc(out.waiters, func(w *waiter) bool {
			reached := w.reached()
			if reached {
				close(w.wake)
			}
			return reached
		})
	}
	out.mu.Unlock()
}

// wait waits, without mu, until reached holds or ctx ends. mu is held when it returns.
func (out *Outbound) wait(ctx context.Context, reached func() bool) error {
	for !reached() {
		w := &waiter{reached, make(chan struct{})}
		out.waiters = append(out.waiters, w)
		out.unlock()
		select {
		case <-w.wake:
			out.mu.Lock()
		case <-ctx.Done():
			out.mu.Lock()
			if reached() {
				return nil
			}
			out.waiters = slices.DeleteFunc(out.waiters, func(o *waiter) bool { return o == w })
			return ctx.Err()
		}
	}
	return nil
}

// Send sends the message of p. It blocks until all of it is in the stream or, where it fits into the buffer, in the queue.
// A large payload is in the caller's memory, which is not used any more when Send returns.
//
// Where nobody else is writing, it writes on its caller's goroutine: the fast path, without a switch to another one.
func (out *Outbound) Send(ctx context.Context, p *Frame) error {
	ended := ctxErr(ctx)
	tooLarge := p.seal(out.opts.MaxMessage)
	out.mu.Lock()
	if err := out.refusal(ended, p.Fed); err != nil {
		out.mu.Unlock()
		return err
	}
	if tooLarge {
		out.mu.Unlock()
		return &SizeError{Size: uint64(p.payload()), Limit: out.opts.MaxMessage}
	}
	if out.writeNow(p.frame, p.body) {
		out.mu.Unlock() // nothing waits for what has changed
		return nil
	}
	switch out.accept(p) {
	case queued:
		out.unlock()
		return nil
	case lined:
		return out.sendInLine(ctx, p)
	}
	out.mu.Unlock() // nothing waits for what has changed
	var n int
	var err error
	if out.foreign {
		n, err = out.write(ctx, p, p.frame, p.body, false)
	} else { // saves the nanoseconds of the guard
		n, err = out.dst.Write(ctx, p.frame, p.body)
	}
	return out.sentAlone(ctx, p, n, err)
}

// TrySend is Send for a payload that is accepted at once and as it is: into the buffer, or into memory that is shared with the
// reader. A message then costs half as much as by a Frame. It returns false, and has done nothing, where that can't be, and
// where Send is to say what is wrong.
func (out *Outbound) TrySend(ctx context.Context, payload []byte) bool {
	if out.buffer == 0 && out.instant == nil || len(payload) > min(out.opts.MaxMessage, longLength-1) {
		return false
	}
	ended := ctxErr(ctx)
	out.mu.Lock()
	if out.refusal(ended, false) != nil || !out.writeNow(appendHeader(out.header[:0], len(payload)), payload) && !out.enqueuePayload(payload) {
		out.mu.Unlock()
		return false
	}
	out.unlock()
	return true
}

// writeNow writes a frame if the stream takes it at once, and everything before it is written. mu is held.
func (out *Outbound) writeNow(head, body []byte) bool {
	if out.instant == nil || !out.clear() || !out.instant.WriteNow(head, body) {
		return false
	}
	out.count(len(head) + len(body))
	out.stats.Writes = out.dst.Calls()
	return true
}

// sentAlone ends what Send began, when a first write has written n bytes of p and returned err.
func (out *Outbound) sentAlone(ctx context.Context, p *Frame, n int, err error) error {
	head, body := cut(p.frame, p.body, n)
	for err == stream.ErrInterrupted && ctx.Err() == nil && out.Err() == nil {
		n, err = out.write(ctx, p, head, body, false)
		head, body = cut(head, body, n)
	}
	out.mu.Lock()
	out.stats.Writes = out.dst.Calls()
	err = out.wroteAlone(p, head, body, explain(err), ctx.Err())
	out.unlock()
	return err
}

// write writes on the goroutine of p's caller. A panic of the stream's own code goes on to him, and breaks the end. Mu is held then
// if locks is set, for a caller who unlocks it on his way out.
func (out *Outbound) write(ctx context.Context, p *Frame, head, body []byte, locks bool) (n int, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		out.mu.Lock()
		out.finish(p, out.breakOff(stream.ErrPanicked))
		if !locks {
			out.unlock()
		}
	}()
	n, err = out.dst.Write(ctx, head, body)
	returned = true
	return n, err
}

// sendInLine waits until another goroutine has written p, or writes it together with others. It unlocks mu.
func (out *Outbound) sendInLine(ctx context.Context, p *Frame) error {
	defer func() { out.unlock() }()
	if out.crowd > 0 && out.interruptible {
		out.writeTogether(ctx, p)
	}
	if !p.done {
		out.await(ctx, p)
	}
	return p.err
}

// await sleeps until p is done, or takes p back when ctx ends. mu is held, but not while it sleeps.
func (out *Outbound) await(ctx context.Context, p *Frame) {
	out.sleep(p, ctx.Done())
	if p.done || out.leave(p, ctx.Err()) {
		return
	}
	out.unlock()
	interrupted := out.dst.Interrupt() // the writer then answers at once
	out.mu.Lock()
	switch {
	case p.done:
	case interrupted:
		out.sleep(p, nil)
	default:
		out.abandon(p)
	}
}

// sleep waits, without mu, until p is done or until is closed. Its channel is the end's or a new one, and not kept with p:
// the next use of p may be in another bubble of testing/synctest.
func (out *Outbound) sleep(p *Frame, until <-chan struct{}) {
	own := out.wake
	wake := own
	out.wake = nil
	if own == nil {
		wake = make(chan struct{}, 1)
	}
	p.wake = wake
	out.unlock()
	woken := false
	select {
	case <-wake:
		woken = true
	case <-until:
	}
	out.mu.Lock()
	if p.done && !woken {
		<-wake
	}
	p.wake = nil
	if own != nil {
		out.wake = own
	}
}

// drain writes batch after batch until nothing is left.
func (out *Outbound) drain() {
	out.mu.Lock()
	for out.next(out.dst.Room) {
		head, body := out.batch.head, out.batch.body
		out.unlock()
		n, err := out.writeQuietly(head, body)
		out.mu.Lock()
		out.stats.Writes = out.dst.Calls()
		out.advance(n, explain(err))
	}
	out.unlock()
}

// writeQuietly writes on a goroutine of our own, where nobody could recover from a panic of the stream's code: it becomes an
// error.
func (out *Outbound) writeQuietly(head, body []byte) (n int, err error) {
	if out.foreign {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("%w: %v", stream.ErrPanicked, v)
			}
		}()
	}
	return out.dst.Write(context.Background(), head, body)
}

// cut takes the first n bytes off head and body.
func cut(head, body []byte, n int) (_, _ []byte) {
	if n < len(head) {
		return head[n:], body
	}
	return nil, body[n-len(head):]
}

// explain says what the error of a write means.
func explain(err error) error {
	switch {
	case err == nil || err == stream.ErrInterrupted:
		return err
	case errors.Is(err, stream.ErrNonsense):
		return fmt.Errorf("%w (%w)", ErrFrame, err)
	case err == io.EOF: // some streams' way to say so; as it is, it would be taken for the end of what is read
		return fmt.Errorf("%w (the stream's Write returned EOF)", ErrPeerClosed)
	case stream.IsPeerClosed(err) || errors.Is(err, io.ErrClosedPipe):
		var path *fs.PathError // names the pipe "|1", which tells nobody anything
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("%w (%w)", ErrPeerClosed, err)
	}
	return err
}

// crowdPatience is how often a Send of a crowd lets others run before it waits for their write without running.
const crowdPatience = 4

// writeTogether lets the other Sends of a crowd run, so that they line up too, and then writes for all of them, unless one
// of them has done so: a write for each would cost more than these switches, and so would putting each to sleep and
// waking it. It may return with p still in line. mu is held, but not while others run.
func (out *Outbound) writeTogether(ctx context.Context, p *Frame) {
	out.yielding++
	defer func() { out.yielding-- }() // also if the stream panics
	for range crowdPatience {
		out.unlock()
		runtime.Gosched()
		out.mu.Lock()
		if p.done {
			break
		}
		if out.writer == nobody {
			out.writeLine(ctx, p)
			break
		}
	}
}

// writeLine writes a batch on the goroutine of p's caller. What it can't finish because ctx ends, or because another
// Send of the batch wants to leave, is left to the drain.
func (out *Outbound) writeLine(ctx context.Context, p *Frame) {
	out.writer = caller
	if !out.next(out.dst.Room) {
		return
	}
	head, body := out.batch.head, out.batch.body
	out.unlock()
	n, err := out.write(ctx, p, head, body, true)
	out.mu.Lock()
	out.stats.Writes = out.dst.Calls()
	if err == stream.ErrInterrupted {
		p.cancelled = ctx.Err()
	}
	out.advance(n, explain(err))
	out.handOver()
}
