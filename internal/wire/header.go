package wire

import (
	"encoding/binary"
	"errors"
	"math"
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
