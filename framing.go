package gipc

import (
	"encoding/binary"
	"math"
	"sync"
	"unsafe"
)

// A frame is a length and that many bytes of payload; docs/protocol.md specifies it. The length is a signed big-endian
// number of 4 bytes below longLength, or longMark there and the length as an unsigned number of 8 bytes behind it.
const (
	shortHeader = 4
	longHeader  = shortHeader + 8

	longLength = math.MaxInt32 // the first length that doesn't fit the short header
	longMark   = math.MaxUint32
)

// defaultMaxMessage is Options.MaxMessage where it is 0, in bytes.
const defaultMaxMessage = 1 << 30

// chunkSize, in bytes, is the size of the buffers that frames are gathered in, reading and writing: the default capacity
// of a Linux pipe, and the most that macOS lets one read of a pipe ask for.
const chunkSize = 64 << 10

// appendHeader appends the header of a payload of n bytes.
func appendHeader(b []byte, n int) []byte {
	if n < longLength {
		return binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, longMark), uint64(n))
}

// parseHeader reads the header at the start of b. Its size is 0 while b is too short to tell.
// The length is what the other side claims, and proves nothing.
func parseHeader(b []byte) (size int, length uint64, err error) {
	if len(b) < shortHeader {
		return 0, 0, nil
	}
	switch short := binary.BigEndian.Uint32(b); {
	case short <= math.MaxInt32:
		return shortHeader, uint64(short), nil
	case short != longMark:
		return 0, 0, ErrFrame
	case len(b) < longHeader:
		return 0, 0, nil
	default:
		return longHeader, binary.BigEndian.Uint64(b[shortHeader:]), nil
	}
}

// smallChunkSize, in bytes, is what an end holds that waits on a stream which can't announce that bytes are there.
const smallChunkSize = 512

// An end borrows a chunk only while bytes of it are in flight.
var (
	chunks      = sync.Pool{New: func() any { return new([chunkSize]byte) }}
	smallChunks = sync.Pool{New: func() any { return new([smallChunkSize]byte) }}
)

func borrowChunk() []byte { return chunks.Get().(*[chunkSize]byte)[:] }

func borrowSmallChunk() []byte { return smallChunks.Get().(*[smallChunkSize]byte)[:] }

// returnChunk takes back what either lent, and leaves anything else to the garbage collector.
func returnChunk(b []byte) {
	switch cap(b) {
	case chunkSize:
		chunks.Put((*[chunkSize]byte)(b[:chunkSize]))
	case smallChunkSize:
		smallChunks.Put((*[smallChunkSize]byte)(b[:smallChunkSize]))
	}
}

// Copying to and from a pipe's pages is up to twice as slow where the memory is not aligned like them. So a large payload
// is written from a cache line's start on, and in whole pages as long as there are any.
const (
	cacheLine = 64
	pageSize  = 4096
)

// unaligned returns how many bytes of b lie before its first cache line.
func unaligned(b []byte) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (cacheLine - 1))
}
