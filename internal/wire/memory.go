package wire

import (
	"slices"
	"sync"

	"github.com/go-gipc/gipc/internal/stream"
)

// The memory that an Inbound reads into: a chunk for small messages, a body for one that is too long for it.

// bodies keeps the memory of large messages once they are decoded. Above maxPooledBody it is left to the collector.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

const maxPooledBody = 1 << 20 // bytes

// beginBody prepares to gather a message of n bytes outside the chunk, straight into *dst where that is given.
func (in *Inbound) beginBody(n int, dst *[]byte) {
	in.large, in.length = true, n
	if dst != nil {
		in.body, in.lent = (*dst)[:0], true
	} else {
		in.pooled = bodies.Get().(*[]byte)
		in.body = (*in.pooled)[:0]
	}
	in.body = append(in.body, in.chunk[in.start:in.end]...)
	if in.pooled != nil {
		*in.pooled = in.body[:0]
	}
	in.start = in.end
	in.release()
}

// keepBody saves what has arrived of a message from the memory of a caller whose call ends before all has.
func (in *Inbound) keepBody() {
	if in.lent {
		in.body = slices.Clone(in.body)
		in.lent = false
	}
}

// returnBody gives a decoded message's memory back; *pooled holds it.
func (in *Inbound) returnBody() {
	if cap(*in.pooled) <= maxPooledBody {
		bodies.Put(in.pooled)
	}
	in.pooled = nil
}

// lending is an Inbound as the Lender of its source.
type lending Inbound

func (l *lending) Lend(waiting bool) []byte { return (*Inbound)(l).lend(waiting) }

// Amid says whether the rest of a message is still to come.
func (l *lending) Amid() bool { return l.large || l.skip > 0 || l.start < l.end }

func (l *lending) Unlend() { (*Inbound)(l).release() }

// lend is where the source reads into: no further than the message, if that is large or refused.
func (in *Inbound) lend(waiting bool) []byte {
	switch {
	case in.large:
		if len(in.body) == cap(in.body) {
			in.growBody()
		}
		return in.body[len(in.body):min(cap(in.body), in.length, len(in.body)+stream.MaxRead)]
	case in.chunk == nil && waiting:
		in.chunk = stream.BorrowSmallChunk()
	case in.chunk == nil:
		in.chunk = stream.BorrowChunk()
	case in.start == in.end:
		in.start, in.end = 0, 0
	case in.start >= cacheLine || in.end == len(in.chunk):
		in.compact()
	}
	room := in.chunk[in.end:min(len(in.chunk), in.end+stream.ChunkSize)]
	if in.skip > 0 {
		room = room[:min(uint64(len(room)), in.skip)]
	}
	return room
}

func (in *Inbound) growBody() {
	grown := make([]byte, len(in.body), bodyRoom(len(in.body), in.length))
	copy(grown, in.body)
	in.body = grown
	if in.pooled != nil {
		*in.pooled = grown[:0]
	}
}

// bodyRoom doubles the memory of a body, but never beyond the message: memory follows the bytes that have arrived, not the
// length that was announced.
func bodyRoom(arrived, length int) int {
	if arrived >= length/2 { // doubling could overflow, where an int has 32 bits
		return length
	}
	return min(length, max(2*arrived, stream.ChunkSize))
}

// compact makes room behind the beginning of a frame: the next read is to take as much as the pipe has, and into aligned
// memory, to which copying from a pipe's pages is up to twice as fast.
func (in *Inbound) compact() {
	old := in.chunk
	if cap(old) < stream.ChunkSize {
		in.chunk = stream.BorrowChunk()
	}
	begun := old[in.start:in.end]
	in.start = -len(begun) & (cacheLine - 1)
	in.end = in.start + copy(in.chunk[in.start:], begun)
	if cap(old) < stream.ChunkSize {
		stream.ReturnChunk(old)
	}
}

// release returns the chunk if nothing is in it.
func (in *Inbound) release() {
	if in.chunk != nil && in.start == in.end {
		stream.ReturnChunk(in.chunk)
		in.chunk, in.start, in.end = nil, 0, 0
	}
}
