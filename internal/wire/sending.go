package wire

import (
	"fmt"
	"slices"

	"github.com/go-gipc/gipc/internal/stream"
)

// sending is the state of a writing half. It only decides: what is accepted, what is written next, who is answered, and when
// nothing is left to do. It does no I/O, takes no lock and starts no goroutine, so that a model can check it. Outbound
// writes, waits and wakes around it.
//
// Bytes that are accepted and not written are in exactly one of three places, and are written in this order: the batch, the
// queue, the line.
type sending struct {
	buffer        int  // bytes of frames that may be queued
	interruptible bool // a write can be given up

	err     error // why the end can't be used any more: ErrClosed or ErrMoved
	closing bool  // Close has begun: no new calls, but what was accepted is still sent
	broken  error // what ended the stream under us
	lost    bool  // one of them took accepted messages with it

	ops    int  // calls under way
	feeds  int  // native channels that are read
	writer role // who has the right to write

	batch batch    // what is being written for several
	queue []byte   // bytes that no cancel takes back
	spare []byte   // memory for the next queue, while somebody writes; or nil
	line  []*Frame // frames whose calls wait

	crowd    int // above 0: Puts have lately come together
	yielding int // Puts of a crowd that will look after the line when they run again

	begun, sent uint64 // batches; of these the last one that is written
	stats       WriteStats
}

// role is who has the right to write.
type role int

const (
	nobody  role = iota
	caller       // a Send, for itself or for the line
	drainer      // the goroutine that writes what is left to write
	mover        // a move, which writes nothing
	ender        // whoever closes the stream: only the mark is left to write
)

// turn is what becomes of a frame that was accepted.
type turn int

const (
	queued turn = iota // the call is over
	alone              // its call has the right to write, and writes it
	lined              // it waits in line
)

// refusal says why a new call can't begin. Ended is the error of its ctx.
func (s *sending) refusal(ended error, fed bool) error {
	switch {
	case s.err != nil:
		return s.err
	case s.closing && !fed:
		return ErrClosed
	case s.broken != nil:
		return s.broken
	case fed:
		return nil // its message was accepted already
	}
	return ended
}

// accept takes a frame of a call that was not refused.
func (s *sending) accept(p *Frame) turn {
	if s.fits(p.size()) && len(s.line) == 0 {
		s.enqueue(p)
		return queued
	}
	s.ops++
	if s.writer == nobody && s.crowd == 0 && len(s.line) == 0 && s.interruptible {
		s.writer = caller
		return alone
	}
	s.line = append(s.line, p)
	return lined
}

func (s *sending) fits(size int) bool {
	return s.buffer > 0 && s.writer != mover && len(s.queue)+size <= s.buffer
}

func (s *sending) enqueue(p *Frame) {
	s.makeRoom(p.size())
	s.queue = append(append(s.queue, p.frame...), p.body...)
	s.count(p.size())
}

// enqueuePayload takes a message that has no Frame, and returns false where it would have to wait.
func (s *sending) enqueuePayload(payload []byte) bool {
	size := shortHeader + len(payload)
	if !s.fits(size) || len(s.line) > 0 {
		return false
	}
	s.makeRoom(size)
	s.queue = append(appendHeader(s.queue, len(payload)), payload...)
	s.count(size)
	return true
}

// makeRoom finds memory for size bytes more in the queue. While the drain goes on, a queue takes over the memory of the one
// before, which a large buffer has made grow.
func (s *sending) makeRoom(size int) {
	if s.queue == nil {
		s.queue, s.spare = s.spare, nil
	}
	if s.queue == nil {
		s.queue = stream.BorrowChunk()[:0]
	}
	if need := len(s.queue) + size; need > cap(s.queue) {
		grown := make([]byte, len(s.queue), max(need, min(2*cap(s.queue), s.buffer)))
		copy(grown, s.queue)
		stream.ReturnChunk(s.queue)
		s.queue = grown
	}
}

// freeSpare gives up the memory that was kept for the next queue. Whoever stops writing calls it.
func (s *sending) freeSpare() {
	stream.ReturnChunk(s.spare)
	s.spare = nil
}

func (s *sending) count(size int) {
	s.stats.Messages++
	s.stats.Bytes += uint64(size)
}

// due says whether the drain has to start: there is something to write, and nobody who does. A Put of a crowd that lets
// others run will write the line itself.
func (s *sending) due() bool {
	return s.writer == nobody && (len(s.queue) > 0 || !s.batch.empty() || len(s.line) > 0 && s.yielding == 0)
}

// clear says whether nothing that was accepted is still to be written: the next frame may be written at once.
func (s *sending) clear() bool {
	return s.writer == nobody && len(s.line) == 0 && len(s.queue) == 0 && s.batch.empty()
}

// idle says whether everything that was accepted is written, and nobody can add to it once the end is closing.
func (s *sending) idle() bool {
	return s.feeds == 0 && s.clear()
}

// inUse says whether calls are under way, or something is still to be written.
func (s *sending) inUse() bool { return s.ops > 0 || !s.idle() }

// wroteAlone ends the call of a frame whose caller wrote it alone. Of it head and body are left, because of err; cause is the
// ctx's error where that is ErrInterrupted.
func (s *sending) wroteAlone(p *Frame, head, body []byte, err, cause error) error {
	rest := len(head) + len(body)
	if rest > 0 && (err != stream.ErrInterrupted || s.err != nil) {
		s.ops--
		return s.breakOff(err)
	}
	s.ops--
	s.writer = nobody
	switch {
	case rest == 0:
		s.count(p.size())
		return nil
	case rest < p.size():
		s.count(p.size())
		s.queue = slices.Concat(head, body, s.queue)
		return partial(cause)
	case p.Fed: // it stays, as it is no longer its caller's
		s.count(p.size())
		s.queue = slices.Concat(head, body, s.queue)
	}
	return cause
}

// leave is for a call whose ctx has ended while its frame waits. It returns false where the frame is being written: then the
// writer, once it is interrupted, answers.
func (s *sending) leave(p *Frame, cause error) bool {
	i := slices.Index(s.line, p)
	if i < 0 {
		p.cancelled = cause
		return false
	}
	if p.Fed {
		p.left, p.body = true, slices.Clone(p.body) // body is the caller's
	} else {
		s.line = slices.Delete(s.line, i, i+1)
	}
	s.finish(p, cause)
	return true
}

// abandon is for a call whose frame is in a write that can't be given up: the frame stays, the call leaves.
func (s *sending) abandon(p *Frame) {
	cause := p.cancelled
	p.left, p.cancelled = true, nil
	s.finish(p, partial(cause))
}

// finish ends the call of p with err, unless it has left.
func (s *sending) finish(p *Frame, err error) {
	if p.done {
		return
	}
	s.ops--
	p.done, p.err = true, err
	if p.wake != nil {
		p.wake <- struct{}{}
	}
}

// breakOff ends everything after a failed write, whose position in the stream nobody knows, and returns the error of all
// calls from now on.
func (s *sending) breakOff(err error) error {
	if s.err != nil {
		err = s.err
	} else {
		s.broken = err
		s.lost = s.accepted() > 0
	}
	s.drop(err)
	s.batch.head, s.batch.body = nil, nil
	s.freeSpare()
	s.writer = nobody
	return err
}

// shut ends the use of the end with err. The Puts whose frames an interruptible write may be reading are left to it: their
// memory is in use until the stream is closed and the write returns.
func (s *sending) shut(err error) {
	s.err = err
	s.lost = s.lost || s.accepted() > 0
	if !s.interruptible {
		s.drop(err)
		return
	}
	for _, p := range s.line {
		s.finish(p, err)
	}
	s.queue, s.line = nil, nil
}

// drop answers every waiting call with err and forgets what is queued.
func (s *sending) drop(err error) {
	for _, p := range slices.Concat(s.batch.frames, s.line) {
		s.finish(p, err)
	}
	s.queue, s.line, s.batch.frames = nil, nil, nil
}

// accepted returns how many bytes are still to be written of messages whose calls have returned.
func (s *sending) accepted() int {
	n := len(s.queue) + s.batch.accepted()
	for _, p := range s.line {
		if p.left {
			n += p.size()
		}
	}
	return n
}

func partial(cause error) error { return fmt.Errorf("%w: %w", cause, ErrPartial) }

// unsent returns a function that says whether anything that was accepted before it was made is still to be written.
func (s *sending) unsent() func() bool {
	last := s.begun
	if len(s.queue) > 0 {
		last++ // the next batch takes the whole queue
	}
	left := slices.DeleteFunc(slices.Clone(s.line), func(p *Frame) bool { return !p.left })
	waits := func(p *Frame) bool { return p.batch == 0 || p.batch > s.sent }
	return func() bool { return s.sent < last || slices.ContainsFunc(left, waits) }
}
