package gipc

import (
	"context"
	"runtime"
	"slices"
)

// batch is what is written at once for several Puts, or from the queue. Whoever set writing changes it, holding mu.
type batch struct {
	buf        []byte // borrowed; under head
	head, body []byte // what is not written yet
	puts       []*put // those of its frames that a Put waits for, in order
	at         int    // bytes written
}

func (b *batch) empty() bool { return len(b.head)+len(b.body) == 0 }

// accepted returns how many of the bytes that aren't written yet no Put waits for: it could not be told of a failure.
func (b *batch) accepted() int {
	n := len(b.head) + len(b.body)
	for _, p := range b.puts {
		if !p.left {
			n -= p.end - max(p.start, b.at)
		}
	}
	return n
}

// drain writes what is left of the batch, and then batch after batch until nothing is left.
func (out *outbound) drain() {
	b := &out.batch
	for more := true; more; {
		for !b.empty() {
			n, err := out.dst.write(context.Background(), b.head, b.body)
			out.mu.Lock()
			out.advance(n, err)
			out.mu.Unlock()
		}
		out.mu.Lock()
		if more = out.claim(); !more {
			out.writing = false
			out.notify()
		}
		out.mu.Unlock()
	}
}

// crowdMemory is how many batches of a single frame it takes until Puts write alone again.
const crowdMemory = 8

// crowdPatience is how often a Put of a crowd lets others run before it waits for their write without running.
const crowdPatience = 4

// writeTogether lets the other Puts of a crowd run, so that they line up too, and then writes for all of them, unless one
// of them has done so: a write for each would cost more than these switches, and so would putting each to sleep and
// waking it. It may return with p still in line. mu is held, but not while others run.
func (out *outbound) writeTogether(ctx context.Context, p *put) {
	out.yielding++
	for range crowdPatience {
		out.mu.Unlock()
		runtime.Gosched()
		out.mu.Lock()
		if p.done {
			break
		}
		if !out.writing {
			out.writeLine(ctx, p)
			break
		}
	}
	out.yielding--
	if !out.writing && out.yielding == 0 && len(out.line) > 0 {
		out.startDrain()
	}
}

// writeLine writes a batch on the goroutine of p's caller. What it can't finish because ctx ends, or because another
// Put of the batch wants to leave, is left to the drain.
func (out *outbound) writeLine(ctx context.Context, p *put) {
	out.writing = true
	if out.claim() {
		b := &out.batch
		out.mu.Unlock()
		n, err := out.write(ctx, p, b.head, b.body)
		out.mu.Lock()
		if err == errInterrupted {
			p.cancelled = ctx.Err()
		}
		out.advance(n, err)
	}
	if out.batch.empty() {
		out.endBatch()
	}
	out.passOn()
}

// claim ends the last batch and begins the next one. It returns false if there is nothing to write.
func (out *outbound) claim() bool {
	out.endBatch()
	if len(out.queue) == 0 && len(out.line) == 0 {
		return false
	}
	b := &out.batch
	out.begun++
	if len(out.queue) > 0 {
		b.buf, out.queue = out.queue, nil
		out.admit()
	} else {
		out.claimLine()
	}
	if b.buf != nil {
		b.head = b.buf
	}
	out.notify()
	return true
}

func (out *outbound) endBatch() {
	b := &out.batch
	if b.buf != nil {
		returnChunk(b.buf)
		b.buf = nil
	}
	b.at = 0
	if out.err == nil && out.broken == nil {
		out.ended = out.begun
	}
}

// admit lets Puts whose frame fits into the queue now go.
func (out *outbound) admit() {
	for len(out.line) > 0 && out.fits(out.line[0]) {
		p := out.line[0]
		out.line = slices.Delete(out.line, 0, 1)
		out.enqueue(p)
		p.batch = out.begun + 1
		out.finish(p, nil)
	}
}

// claimLine takes the frames in line, as many as fit into a chunk, or a larger one alone. Where a write can't be
// interrupted once it has begun, no frame may wait for room behind another in the same write.
func (out *outbound) claimLine() {
	b := &out.batch
	if p := out.line[0]; p.size() > chunkSize {
		b.head, b.body = p.frame, p.body
		if !out.dst.interruptible() { // Put may leave before it is written
			b.head, b.body = slices.Concat(p.frame, p.body), nil
		}
		out.claimFirst(1)
		p.start, p.end = 0, p.size()
		return
	}
	b.buf = borrowChunk()[:0]
	n, limit := 0, chunkSize
	if len(out.line) > 1 {
		limit = min(limit, out.dst.room())
	}
	for _, p := range out.line {
		if n > 0 && len(b.buf)+p.size() > limit {
			break
		}
		p.start = len(b.buf)
		b.buf = append(append(b.buf, p.frame...), p.body...)
		p.end = len(b.buf)
		n++
	}
	out.claimFirst(n)
	if n > 1 {
		out.crowd = crowdMemory
	} else if out.crowd > 0 {
		out.crowd--
	}
}

func (out *outbound) claimFirst(n int) {
	for _, p := range out.line[:n] {
		p.batch = out.begun
	}
	out.batch.puts = append(out.batch.puts, out.line[:n]...)
	out.line = slices.Delete(out.line, 0, n)
}

// advance takes note of n written bytes of the batch, and answers the Puts that wait for them or want to leave.
func (out *outbound) advance(n int, err error) {
	b := &out.batch
	b.at += n
	b.head, b.body = cut(b.head, b.body, n)
	out.stats.Writes = out.dst.calls()
	sent := 0
	for ; sent < len(b.puts) && b.puts[sent].end <= b.at; sent++ {
		out.count(b.puts[sent])
		out.finish(b.puts[sent], nil)
	}
	b.puts = slices.Delete(b.puts, 0, sent)
	if err != nil && err != errInterrupted {
		out.breakOff(err)
		return
	}
	for i := 0; i < len(b.puts); {
		if p := b.puts[i]; p.cancelled != nil {
			out.release(i)
		} else {
			i++
		}
	}
	out.notify()
}

// release lets go of the Put i of the batch, whose ctx has ended: its frame is taken out, unless a part of it is written or
// it comes from a channel that had taken it.
func (out *outbound) release(i int) {
	b := &out.batch
	p := b.puts[i]
	if p.feeding && p.start >= b.at {
		b.head, b.body = slices.Concat(b.head, b.body), nil // p's memory is its caller's again
		out.finish(p, p.cancelled)
		p.left, p.cancelled = true, nil
		return
	}
	b.puts = slices.Delete(b.puts, i, i+1)
	if p.start < b.at {
		b.head, b.body = slices.Concat(b.head, b.body), nil // p's memory is its caller's again
		out.count(p)
		out.finish(p, partial(p.cancelled))
		return
	}
	size := p.end - p.start
	if len(b.body) > 0 || len(b.buf) == 0 {
		b.head, b.body = nil, nil // alone in its batch
	} else {
		b.head = slices.Delete(b.head, p.start-b.at, p.end-b.at)
	}
	for _, later := range b.puts[i:] {
		later.start -= size
		later.end -= size
	}
	out.finish(p, p.cancelled)
}
