package ring

import (
	"sync/atomic"
	"unsafe"

	"github.com/go-gipc/gipc/internal/stream"
)

// The header of the shared memory. What the one side writes all the time lies apart from what the other does, so that their
// processors don't take it from each other: some fetch two cache lines of 64 bytes at once.
const (
	atWritten = 0
	atWanted  = 128
	atRead    = 256
	atAsleep  = 384
	headerMin = 512 // bytes
)

// shared is the memory that both sides see.
type shared struct {
	written *atomic.Uint64 // how many bytes the writer has put in, ever
	wanted  *atomic.Uint64 // a writer that sleeps: how many bytes it wants to find free; else 0
	read    *atomic.Uint64 // how many bytes the reader has taken out, ever
	asleep  *atomic.Uint32 // 1: the reader sleeps
	data    []byte         // a power of two in length
}

// over divides memory into a header of that many bytes and the ring behind it.
func over(memory []byte, header int) shared {
	return shared{
		written: (*atomic.Uint64)(unsafe.Pointer(&memory[atWritten])),
		wanted:  (*atomic.Uint64)(unsafe.Pointer(&memory[atWanted])),
		read:    (*atomic.Uint64)(unsafe.Pointer(&memory[atRead])),
		asleep:  (*atomic.Uint32)(unsafe.Pointer(&memory[atAsleep])),
		data:    memory[header:],
	}
}

// used returns how many bytes lie between two indexes, of which the other side gave one. It fails if that is nonsense.
func (s *shared) used(written, read uint64) (int, error) {
	n := written - read
	if n > uint64(len(s.data)) {
		return 0, stream.ErrNonsense
	}
	return int(n), nil
}

// place returns where the byte of an index lies.
func (s *shared) place(index uint64) int { return int(index & uint64(len(s.data)-1)) }

// producer is the writer's side. What it writes is the reader's from publish on.
type producer struct {
	shared
	put  uint64 // what it will publish
	seen uint64 // what it last saw of read
}

func newProducer(s shared) producer {
	put := s.written.Load() // what a half that has moved here had put
	return producer{shared: s, put: put, seen: put - uint64(len(s.data))}
}

// room returns how many bytes are free: all of them where it isn't known that n are.
func (p *producer) room(n int) (int, error) {
	if free := len(p.data) - int(p.put-p.seen); free >= n {
		return free, nil
	}
	read := p.read.Load()
	used, err := p.used(p.put, read)
	if err != nil {
		return 0, err
	}
	p.seen = read
	return len(p.data) - used, nil
}

// copyIn copies b, for which there is room, behind what is there.
func (p *producer) copyIn(b []byte) {
	n := copy(p.data[p.place(p.put):], b)
	copy(p.data, b[n:])
	p.put += uint64(len(b))
}

// publish gives the reader what was copied in. It returns whether the reader has to be woken: it sleeps, and this call is the
// one that saw it.
//
// The index is written before the flag is read, and a reader that goes to sleep does it the other way round. Go's atomics
// are sequentially consistent, so that one of the two sees the other. Where that counts, a value is written by Swap: in a
// program with the race detector, and under qemu 7.2 as arm64, a Store into this memory may come behind a Load that follows it.
func (p *producer) publish() (wake bool) {
	releaseMemory()
	p.written.Swap(p.put)
	return p.asleep.Load() != 0 && p.asleep.Swap(0) != 0
}

// want announces that the writer is about to sleep until n bytes are free. It takes that back, and returns false, where they
// are.
func (p *producer) want(n int) (sleep bool, err error) {
	p.wanted.Swap(uint64(n))
	free, err := p.room(n)
	if err == nil && free < n {
		return true, nil
	}
	p.wanted.Store(0)
	return false, err
}

// consumer is the reader's side.
type consumer struct {
	shared
	got uint64 // what it has published
}

func newConsumer(s shared) consumer { return consumer{shared: s, got: s.read.Load()} }

// available returns how many bytes can be copied out.
func (c *consumer) available() (int, error) {
	n, err := c.used(c.written.Load(), c.got)
	acquireMemory()
	return n, err
}

// copyOut copies the next bytes, which must be available, to all of b, and gives their place back to the writer. It returns
// whether the writer has to be woken.
func (c *consumer) copyOut(b []byte) (wake bool) {
	n := copy(b, c.data[c.place(c.got):])
	copy(b[n:], c.data)
	c.got += uint64(len(b))
	c.read.Swap(c.got)
	wanted := c.wanted.Load()
	if wanted == 0 {
		return false
	}
	used := c.written.Load() - c.got // nonsense wakes a writer, or doesn't: its own business
	return uint64(len(c.data))-used >= wanted && c.wanted.CompareAndSwap(wanted, 0)
}

// fallAsleep announces that the reader is about to sleep. It takes that back, and returns false, where bytes are there.
func (c *consumer) fallAsleep() (sleep bool, err error) {
	c.asleep.Swap(1)
	n, err := c.available()
	if err == nil && n == 0 {
		return true, nil
	}
	c.asleep.Swap(0)
	return false, err
}
