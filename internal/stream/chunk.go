package stream

import "sync"

// ChunkSize is the size, in bytes, of the buffers that frames are gathered in, reading and writing: the default capacity
// of a Linux pipe, and the most that macOS lets one read of a pipe ask for.
const ChunkSize = 64 << 10

// ChunkMargin is how much longer, in bytes, a chunk is: so the beginning of a frame leaves room for a whole ChunkSize behind it.
// Otherwise each read would leave some bytes in the pipe, for a small read of their own.
const ChunkMargin = 4 << 10

// smallChunkSize, in bytes, is what an end holds that waits on a stream which can't announce that bytes are there.
const smallChunkSize = 512

// An end borrows a chunk only while bytes of it are in flight.
var (
	chunks      = sync.Pool{New: func() any { return new([ChunkSize + ChunkMargin]byte) }}
	smallChunks = sync.Pool{New: func() any { return new([smallChunkSize]byte) }}
)

// BorrowChunk lends ChunkSize and ChunkMargin bytes until ReturnChunk.
func BorrowChunk() []byte { return chunks.Get().(*[ChunkSize + ChunkMargin]byte)[:] }

// BorrowSmallChunk lends smallChunkSize bytes until ReturnChunk: for who has to wait.
func BorrowSmallChunk() []byte { return smallChunks.Get().(*[smallChunkSize]byte)[:] }

// ReturnChunk takes back a chunk of either size, and leaves anything else to the garbage collector.
func ReturnChunk(b []byte) {
	switch cap(b) {
	case ChunkSize + ChunkMargin:
		chunks.Put((*[ChunkSize + ChunkMargin]byte)(b[:ChunkSize+ChunkMargin]))
	case smallChunkSize:
		smallChunks.Put((*[smallChunkSize]byte)(b[:smallChunkSize]))
	}
}

// pageSize, in bytes, is the least size of a page of memory. Copying to and from a pipe's pages is up to twice as slow where
// the memory is not aligned like them, so that long writes go in whole pages.
const pageSize = 4096
