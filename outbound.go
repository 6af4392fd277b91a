package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// outbound is the writing half of an end, for messages of any type: it puts whole frames into a sink.
//
// A Put that finds nobody writing writes its frame itself. Otherwise its frame waits in line, and the drain, a goroutine
// that lives only while there is something to do, writes in one call what has come together. The drain also writes the
// queue: what buffered Puts left there, and the rest of a frame whose Put was cancelled halfway.
type outbound struct {
	stream     io.Closer
	foreign    bool // the stream's code is somebody else's: it may panic
	dst        sink
	maxMessage int
	buffer     int    // bytes of frames that may be queued
	drainer    func() // drain, made once: starting it allocates nothing

	mu      sync.Mutex
	err     error // why the end can't be used any more: ErrClosed or ErrMoved
	closing bool  // Close has begun: no new calls, but what was accepted is still sent
	broken  error // what ended the stream under us
	lost    bool  // broken took accepted messages with it

	ops     int           // calls under way
	feeds   int           // channels of Chan being read
	stop    chan struct{} // tells them to end; made by the first
	writing bool          // somebody is: a Put, the drain, or Spawn while it moves the end. If not, nothing waits but for Puts that yield
	moving  bool          // it is Spawn
	queue   []byte        // bytes that no cancel takes back
	line    []*put        // frames whose Puts wait

	crowd    int // above 0: Puts have lately come together
	yielding int // Puts of a crowd that will look after the line when they run again

	batch   batch         // what is being written for several
	begun   uint64        // batches begun
	ended   uint64        // batches ended
	changed chan struct{} // closed when any of this changes; made by the first who waits
	stats   Stats
}

func newOutbound(stream io.WriteCloser, maxMessage, buffer int) *outbound {
	out := &outbound{stream: stream, dst: newSink(stream), maxMessage: maxMessage, buffer: buffer}
	_, ours := stream.(pipeEnd)
	out.foreign = !ours
	out.drainer = out.drain
	return out
}

// put is one frame on its way, and the call that waits for it.
type put struct {
	room  []byte // memory of frame, kept when put is reused
	frame []byte // header and payload, or the first part of it
	body  []byte // the rest of a large payload, in the memory of Put's caller

	done       bool // guarded by mu: err is the call's result
	err        error
	asleep     bool // guarded by mu: the call waits for wake, which has room for one
	wake       chan struct{}
	batch      uint64 // guarded by mu: the number of the batch that writes the frame, as begun counts them; 0 while in line
	start, end int    // the frame's place in its batch
	cancelled  error  // the ctx error of a call that wants to leave
	left       bool   // the call has left, its message stays: put isn't reused
	feeding    bool   // the message comes from a channel of Chan, so it was accepted before Close
}

var puts = sync.Pool{New: func() any { return &put{wake: make(chan struct{}, 1)} }}

// maxPooledRoom is how much memory, in bytes, a put may keep for its next use.
const maxPooledRoom = 1 << 20

// unsetHeader holds the header's place, and shows whether a codec has appended behind it. JSON and text don't begin so.
var unsetHeader = [shortHeader]byte{0xff, 0xfe, 0xfd, 0xfc}

func newPut() *put {
	p := puts.Get().(*put)
	if p.room == nil {
		p.room = make([]byte, 0, 512)
	}
	p.room = append(p.room[:0], unsetHeader[:]...)
	return p
}

func (p *put) free() {
	if p.left {
		return
	}
	if cap(p.room) > maxPooledRoom {
		p.room = nil
	}
	p.frame, p.body, p.err, p.cancelled = nil, nil, nil, nil
	p.done, p.asleep, p.feeding, p.batch = false, false, false, 0
	puts.Put(p)
}

func (p *put) size() int { return len(p.frame) + len(p.body) }

// copyLimit is up to where, in bytes, a payload is copied behind its header, so that one write takes both. Above it, copying
// costs more than the reader being woken for a header alone.
const copyLimit = 4*chunkSize - shortHeader

// send sends a message. It blocks until all of it is in the stream or, where it fits into the buffer, in the queue. The
// payload is what follows shortHeader bytes in p.room, and then body.
//
// Where nobody else is writing, it writes on its caller's goroutine: the fast path, without a switch to another one.
func (out *outbound) send(ctx context.Context, p *put, body []byte) error {
	n := len(p.room) - shortHeader + len(body)
	if n > out.maxMessage {
		return &TooLargeError{Size: uint64(n), Limit: out.maxMessage}
	}
	switch {
	case n < longLength:
		p.frame, p.body = p.room, body
		appendHeader(p.room[:0], n)
	case len(body) > 0:
		p.frame, p.body = append(appendHeader(nil, n), p.room[shortHeader:]...), body
	default:
		p.frame, p.body = appendHeader(nil, n), p.room[shortHeader:]
	}

	ended := ctx.Err() // a nil ctx panics here, before it can leave anything locked
	out.mu.Lock()
	if err := out.refusal(ended, p.feeding); err != nil {
		out.mu.Unlock()
		return err
	}
	if out.fits(p) && len(out.line) == 0 {
		out.enqueue(p)
		out.startDrain()
		out.mu.Unlock()
		return nil
	}
	out.ops++
	if out.writing || out.crowd > 0 || len(out.line) > 0 || !out.dst.interruptible() {
		return out.sendInLine(ctx, p)
	}
	out.writing = true
	out.mu.Unlock()
	var err error
	if out.foreign {
		n, err = out.write(ctx, p, p.frame, p.body)
	} else { // saves the nanoseconds of the guard
		n, err = out.dst.write(ctx, p.frame, p.body)
	}
	return out.wroteAlone(ctx, p, n, err)
}

// sendInLine waits until another goroutine has written p, or writes it together with others. It unlocks mu.
func (out *outbound) sendInLine(ctx context.Context, p *put) error {
	out.line = append(out.line, p)
	if out.crowd > 0 && out.dst.interruptible() {
		out.writeTogether(ctx, p)
	} else {
		out.startDrain()
	}
	defer out.mu.Unlock()
	if !p.done {
		out.await(ctx, p)
	}
	return p.err
}

// write writes on the goroutine of p's caller. A panic of the stream's own code goes on to him, and breaks the end instead
// of leaving it locked.
func (out *outbound) write(ctx context.Context, p *put, head, body []byte) (n int, err error) {
	returned := false
	defer func() {
		if !returned {
			out.mu.Lock()
			defer out.mu.Unlock()
			out.finish(p, out.breakOff(errStreamPanicked))
		}
	}()
	n, err = out.dst.write(ctx, head, body)
	returned = true
	return n, err
}

// refusal says why a new call can't begin. Ended is the error of its ctx.
func (out *outbound) refusal(ended error, feeding bool) error {
	switch {
	case out.err != nil:
		return out.err
	case out.closing && !feeding:
		return ErrClosed
	case out.broken != nil:
		return out.broken
	case feeding:
		return nil // its message was accepted already
	}
	return ended
}

func (out *outbound) fits(p *put) bool {
	return out.buffer > 0 && !out.moving && len(out.queue)+p.size() <= out.buffer
}

func (out *outbound) enqueue(p *put) {
	if out.queue == nil {
		out.queue = borrowChunk()[:0]
	}
	out.queue = append(append(out.queue, p.frame...), p.body...)
	out.count(p)
}

func (out *outbound) count(p *put) {
	out.stats.Sent++
	out.stats.BytesSent += uint64(p.size())
}

func (out *outbound) startDrain() {
	if !out.writing {
		out.writing = true
		go out.drainer()
	}
}

// wroteAlone ends what send began, when a first write has written n bytes of p and returned err.
func (out *outbound) wroteAlone(ctx context.Context, p *put, n int, err error) error {
	head, body := cut(p.frame, p.body, n)
	for err == errInterrupted && ctx.Err() == nil {
		n, err = out.write(ctx, p, head, body)
		head, body = cut(head, body, n)
	}

	out.mu.Lock()
	defer out.mu.Unlock()
	out.stats.Writes = out.dst.calls()
	out.ops--
	rest := len(head) + len(body)
	switch {
	case rest == 0:
		out.count(p)
		err = nil
	case err != errInterrupted:
		return out.breakOff(err)
	case rest < p.size() || p.feeding:
		out.queue = slices.Concat(head, body, out.queue)
		out.count(p)
		if err = ctx.Err(); rest < p.size() {
			err = partial(err)
		}
	default:
		err = ctx.Err()
	}
	out.passOn()
	return err
}

// cut takes the first n bytes off head and body.
func cut(head, body []byte, n int) (_, _ []byte) {
	if n < len(head) {
		return head[n:], body
	}
	return nil, body[n-len(head):]
}

func partial(cause error) error { return fmt.Errorf("%w: %w", cause, ErrPartial) }

// passOn is what a writer does who has finished: the drain goes on if there is anything to do.
func (out *outbound) passOn() {
	out.writing, out.moving = false, false
	if len(out.queue) > 0 || len(out.line) > 0 && out.yielding == 0 || !out.batch.empty() {
		out.startDrain()
	}
	out.notify()
}

// await sleeps until p is done, or takes p back when ctx ends. mu is held, but not while it sleeps.
func (out *outbound) await(ctx context.Context, p *put) {
	out.sleep(p, ctx.Done())
	if p.done {
		return
	}
	if i := slices.Index(out.line, p); i >= 0 {
		if p.feeding {
			p.left, p.body = true, slices.Clone(p.body) // body is the caller's
		} else {
			out.line = slices.Delete(out.line, i, i+1)
		}
		out.finish(p, ctx.Err())
		return
	}
	p.cancelled = ctx.Err()
	out.mu.Unlock()
	interrupted := out.dst.interrupt() // the drain then answers at once
	out.mu.Lock()
	switch {
	case p.done:
	case interrupted:
		out.sleep(p, nil)
	default: // a Write that can't be stopped has it
		p.left, p.cancelled = true, nil
		out.finish(p, partial(ctx.Err()))
	}
}

// sleep waits, without mu, until p is done or until is closed.
func (out *outbound) sleep(p *put, until <-chan struct{}) {
	p.asleep = true
	out.mu.Unlock()
	select {
	case <-p.wake:
		out.mu.Lock()
		return
	case <-until:
	}
	out.mu.Lock()
	if p.asleep = false; p.done {
		<-p.wake
	}
}

// finish ends the call of p with err, unless it has left.
func (out *outbound) finish(p *put, err error) {
	if p.done {
		return
	}
	out.ops--
	p.done, p.err = true, err
	if p.asleep {
		p.wake <- struct{}{}
	}
}

// breakOff ends everything after a failed write, whose position in the stream nobody knows, and returns the error of all
// calls from now on.
func (out *outbound) breakOff(err error) error {
	if out.err != nil {
		err = out.err
	} else {
		if isPeerClosed(err) || errors.Is(err, io.ErrClosedPipe) {
			err = fmt.Errorf("%w (%w)", ErrPeerClosed, err)
		}
		out.broken = err
		out.lost = out.accepted() > 0
	}
	out.stopFeeds()
	out.dropAll(err)
	out.batch.head, out.batch.body = nil, nil
	out.writing = false
	out.notify()
	return err
}

// dropAll answers every waiting Put with err and forgets what is queued.
func (out *outbound) dropAll(err error) {
	for _, p := range slices.Concat(out.batch.puts, out.line) {
		out.finish(p, err)
	}
	out.queue, out.line, out.batch.puts = nil, nil, nil
}

// notify wakes all who wait for a change.
func (out *outbound) notify() {
	if out.changed != nil {
		close(out.changed)
		out.changed = nil
	}
}

// waitChange unlocks mu, waits for a change or the end of ctx, and locks mu again.
func (out *outbound) waitChange(ctx context.Context) error {
	if out.changed == nil {
		out.changed = make(chan struct{})
	}
	changed := out.changed
	out.mu.Unlock()
	defer out.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
