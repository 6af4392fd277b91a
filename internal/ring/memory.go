package ring

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Bounds of a ring's capacity, in bytes. The lower one is a page.
const maxCapacity = 1 << 30

// capacityFor rounds up to a power of two that is a page at least.
func capacityFor(size int) int {
	capacity := os.Getpagesize()
	for capacity < size && capacity < maxCapacity {
		capacity *= 2
	}
	return capacity
}

// headerSize is a page, so that the ring begins at one.
func headerSize() int { return max(headerMin, os.Getpagesize()) }

// memory is a mapping. Nothing unmaps it while a call uses it.
type memory struct {
	bytes  []byte
	users  atomic.Int64 // calls under way, and 1 until close
	closed atomic.Bool
	once   sync.Once // unmaps
	drop   runtime.Cleanup
}

func newMemory(file *os.File) (*memory, error) {
	bytes, err := mapShared(file)
	if err != nil {
		return nil, err
	}
	m := &memory{bytes: bytes}
	m.users.Store(1)
	m.drop = runtime.AddCleanup(m, unmap, bytes)
	return m, nil
}

// enter keeps the memory for a call. It returns false once close was called. Each call of it that returned true is followed by
// one of leave.
func (m *memory) enter() bool {
	m.users.Add(1)
	if m.closed.Load() {
		m.leave()
		return false
	}
	return true
}

func (m *memory) leave() {
	if m.users.Add(-1) == 0 {
		m.once.Do(func() { // an enter that fails comes to 0 again
			m.drop.Stop()
			unmap(m.bytes)
		})
	}
}

// close lets nobody enter any more. Its caller is a user of the memory until it leaves. It returns false if it was closed
// before.
func (m *memory) close() bool { return !m.closed.Swap(true) }
