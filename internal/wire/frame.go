package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"unsafe"

	"github.com/go-gipc/gipc/internal/stream"
)

// A frame is a length and that many bytes of payload; docs/protocol.md specifies it. The length is a signed big-endian
// number of 4 bytes below longLength, or longMark there and the length as an unsigned number of 8 bytes behind it.
const (
	shortHeader = 4
	longHeader  = shortHeader + 8

	longLength = math.MaxInt32 // the first length that doesn't fit the short header
	longMark   = math.MaxUint32

	endLength = 1 << 31 // where a stream has a mark of its end: no more frames follow
)

var endMark = [shortHeader]byte{0x80}

// appendHeader appends the header of a payload of n bytes.
func appendHeader(b []byte, n int) []byte {
	if n < longLength {
		return binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, longMark), uint64(n))
}

var errEndMark = errors.New("mark of the end")

// parseHeader reads the header at the start of b. Its size is 0 while b is too short to tell. It returns errEndMark for the
// mark of the end. The length is what the other side claims, and proves nothing.
func parseHeader(b []byte) (size int, length uint64, err error) {
	if len(b) < shortHeader {
		return 0, 0, nil
	}
	switch short := binary.BigEndian.Uint32(b); {
	case short <= math.MaxInt32:
		return shortHeader, uint64(short), nil
	case short == endLength:
		return shortHeader, 0, errEndMark
	case short != longMark:
		return 0, 0, ErrFrame
	case len(b) < longHeader:
		return 0, 0, nil
	default:
		return longHeader, binary.BigEndian.Uint64(b[shortHeader:]), nil
	}
}

// Frame is one message on its way, and the call that sends it. NewFrame lends it; its caller puts the payload in, gives it
// to Send, and calls Free whatever came of it.
type Frame struct {
	// Fed says that the message was accepted before the call: it comes from a native channel. It is sent though a Close
	// has begun, and though the ctx ends.
	Fed bool

	room  []byte // memory of frame, kept when the Frame is reused
	frame []byte // header and payload, or the first part of it
	body  []byte // the rest of a large payload, in the memory of Send's caller

	// Guarded by mu of the Outbound, like all that follows.
	done       bool // err is the call's result
	err        error
	wake       chan struct{} // wakes the call, with room for one; nil while it doesn't sleep
	batch      uint64        // the number of the batch that writes the frame, as begun counts them; 0 while in line
	start, end int           // the frame's place in its batch
	cancelled  error         // the ctx error of a call that wants to leave
	left       bool          // the call has left, its message stays: the Frame isn't reused
}

var frames = sync.Pool{New: func() any { return new(Frame) }}

// maxPooledRoom is how much memory, in bytes, a Frame may keep for its next use.
const maxPooledRoom = 1 << 20

// unsetHeader holds the header's place, and shows whether a codec has appended behind it. JSON and text don't begin so.
var unsetHeader = [shortHeader]byte{0xff, 0xfe, 0xfd, 0xfc}

// NewFrame returns a Frame without a payload.
func NewFrame() *Frame {
	p := frames.Get().(*Frame)
	if p.room == nil {
		p.room = make([]byte, 0, 512)
	}
	p.room = p.room[:shortHeader]
	*(*[shortHeader]byte)(p.room) = unsetHeader
	return p
}

// Free takes the Frame back.
func (p *Frame) Free() {
	if p.left {
		return
	}
	if cap(p.room) > maxPooledRoom {
		p.room = nil
	}
	p.frame, p.body, p.err, p.cancelled = nil, nil, nil, nil
	p.done, p.Fed, p.batch = false, false, 0
	frames.Put(p)
}

// Room is what the payload is to be appended to; Appended takes the result.
func (p *Frame) Room() []byte { return p.room }

// Appended takes Room with the payload behind it. It returns false for a slice that doesn't begin as Room does.
func (p *Frame) Appended(room []byte) bool {
	if len(room) < shortHeader || [shortHeader]byte(room) != unsetHeader {
		return false
	}
	p.room = room
	return true
}

// SetPayload takes the payload as it is. Of one that is larger than limit it uses the memory until Send returns: see CopyLimit.
func (p *Frame) SetPayload(payload []byte, limit int) {
	first := len(payload)
	if first > limit {
		first = unaligned(payload)
	}
	p.room = append(p.room, payload[:first]...)
	p.body = payload[first:]
}

// payload is the payload's size before seal.
func (p *Frame) payload() int { return len(p.room) - shortHeader + len(p.body) }

// seal puts the header before the payload, or returns true if that is above limit bytes.
func (p *Frame) seal(limit int) (tooLarge bool) {
	n := p.payload()
	switch {
	case n > limit:
		return true
	case n < longLength:
		p.frame = p.room
		appendHeader(p.room[:0], n)
	case len(p.body) > 0:
		p.frame = append(appendHeader(nil, n), p.room[shortHeader:]...)
	default:
		p.frame, p.body = appendHeader(nil, n), p.room[shortHeader:]
	}
	return false
}

func (p *Frame) size() int { return len(p.frame) + len(p.body) }

// copyLimit is up to where, in bytes, a payload is copied behind its header, so that one write takes both. Above it, copying
// costs more than the reader being woken for a header alone.
const copyLimit = 4*stream.ChunkSize - shortHeader

// copyLimitInstant is that of a Sink for which a second piece costs next to nothing.
const copyLimitInstant = 1 << 10

const cacheLine = 64

// unaligned returns how many bytes of b lie before its first cache line. Copying to a pipe's pages is up to twice as slow
// where the memory is not aligned.
func unaligned(b []byte) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (cacheLine - 1))
}
