package wire

import (
	"slices"

	"github.com/go-gipc/gipc/internal/stream"
)

// batch is what is written at once for several Sends, or from the queue. Whoever has the right to write may read what it
// refers to without the lock.
type batch struct {
	buf        []byte   // borrowed; under head
	head, body []byte   // what is not written yet
	frames     []*Frame // those of its frames that a Put waits for, in order
	at         int      // bytes written
}

func (b *batch) empty() bool { return len(b.head)+len(b.body) == 0 }

// accepted returns how many of the bytes that aren't written yet no Put waits for: it could not be told of a failure.
func (b *batch) accepted() int {
	n := len(b.head) + len(b.body)
	for _, p := range b.frames {
		if !p.left {
			n -= p.end - max(p.start, b.at)
		}
	}
	return n
}

// crowdMemory is how many batches of a single frame it takes until Puts write alone again.
const crowdMemory = 8

// next returns whether there is something to write in the batch, which it makes if the last one is written. If there is not,
// the writer's right is given up. Room is asked how many bytes the stream surely takes.
func (s *sending) next(room func() int) bool {
	if !s.batch.empty() || s.claim(room) {
		return true
	}
	s.freeSpare()
	s.writer = nobody
	return false
}

// handOver is for a writer that stops: what is left of the batch is the next one's.
func (s *sending) handOver() {
	if s.batch.empty() {
		s.endBatch()
	}
	s.freeSpare()
	s.writer = nobody
}

// claim ends the last batch and begins the next one. It returns false if there is nothing to write.
func (s *sending) claim(room func() int) bool {
	s.endBatch()
	if len(s.queue) == 0 && len(s.line) == 0 {
		return false
	}
	b := &s.batch
	s.begun++
	if len(s.queue) > 0 {
		b.buf, s.queue = s.queue, nil
		s.admit()
	} else {
		s.claimLine(room)
	}
	if b.buf != nil {
		b.head = b.buf
	}
	return true
}

func (s *sending) endBatch() {
	b := &s.batch
	if b.buf != nil {
		s.freeSpare()
		s.spare, b.buf = b.buf[:0], nil
	}
	b.at = 0
	if s.err == nil && s.broken == nil {
		s.sent = s.begun
	}
}

// admit lets Puts whose frame fits into the queue now go.
func (s *sending) admit() {
	for len(s.line) > 0 && s.fits(s.line[0].size()) {
		p := s.line[0]
		s.line = slices.Delete(s.line, 0, 1)
		s.enqueue(p)
		p.batch = s.begun + 1
		s.finish(p, nil)
	}
}

// claimLine takes the frames in line, as many as fit into a chunk, or a larger one alone. Where a write can't be
// interrupted once it has begun, no frame may wait for room behind another in the same write.
func (s *sending) claimLine(room func() int) {
	b := &s.batch
	if p := s.line[0]; p.size() > stream.ChunkSize {
		b.head, b.body = p.frame, p.body
		if !s.interruptible { // Put may leave before it is written
			b.head, b.body = slices.Concat(p.frame, p.body), nil
		}
		s.claimFirst(1)
		p.start, p.end = 0, p.size()
		return
	}
	b.buf = stream.BorrowChunk()[:0]
	n, limit := 0, stream.ChunkSize
	if len(s.line) > 1 {
		limit = min(limit, room())
	}
	for _, p := range s.line {
		if n > 0 && len(b.buf)+p.size() > limit {
			break
		}
		p.start = len(b.buf)
		b.buf = append(append(b.buf, p.frame...), p.body...)
		p.end = len(b.buf)
		n++
	}
	s.claimFirst(n)
	if n > 1 {
		s.crowd = crowdMemory
	} else if s.crowd > 0 {
		s.crowd--
	}
}

func (s *sending) claimFirst(n int) {
	for _, p := range s.line[:n] {
		p.batch = s.begun
	}
	s.batch.frames = append(s.batch.frames, s.line[:n]...)
	s.line = slices.Delete(s.line, 0, n)
}

// advance takes note of n written bytes of the batch, and answers the Puts that wait for them or want to leave.
func (s *sending) advance(n int, err error) {
	b := &s.batch
	b.at += n
	b.head, b.body = cut(b.head, b.body, n)
	sent := 0
	for ; sent < len(b.frames) && b.frames[sent].end <= b.at; sent++ {
		s.count(b.frames[sent].size())
		s.finish(b.frames[sent], nil)
	}
	b.frames = slices.Delete(b.frames, 0, sent)
	if err != nil && (err != stream.ErrInterrupted || s.err != nil) {
		_ = s.breakOff(err) // the calls have been told
		return
	}
	for i := 0; i < len(b.frames); {
		if p := b.frames[i]; p.cancelled != nil {
			s.release(i)
		} else {
			i++
		}
	}
}

// release lets go of the Put i of the batch, whose ctx has ended: its frame is taken out, unless a part of it is written or
// it comes from a channel that had taken it.
func (s *sending) release(i int) {
	b := &s.batch
	p := b.frames[i]
	if p.Fed && p.start >= b.at {
		b.head, b.body = slices.Concat(b.head, b.body), nil // p's memory is its caller's again
		s.finish(p, p.cancelled)
		p.left, p.cancelled = true, nil
		return
	}
	b.frames = slices.Delete(b.frames, i, i+1)
	if p.start < b.at {
		b.head, b.body = slices.Concat(b.head, b.body), nil // p's memory is its caller's again
		s.count(p.size())
		s.finish(p, partial(p.cancelled))
		return
	}
	size := p.end - p.start
	if len(b.body) > 0 || len(b.buf) == 0 {
		b.head, b.body = nil, nil // alone in its batch
	} else {
		b.head = slices.Delete(b.head, p.start-b.at, p.end-b.at)
	}
	for _, later := range b.frames[i:] {
		later.start -= size
		later.end -= size
	}
	s.finish(p, p.cancelled)
}
