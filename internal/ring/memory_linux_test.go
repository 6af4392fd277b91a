package ring

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// mappings counts those of rings in this process.
func mappings(t testing.TB) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	test.Check(t, err)
	return strings.Count(string(maps), "/memfd:gipc")
}

func TestMemoryCanNeitherShrinkNorGrow(t *testing.T) {
	r, _ := open(t, 1)
	size := int64(headerSize() + r.Size())
	for _, other := range []int64{0, size - 1, size + 1} {
		test.Is(t, unix.Ftruncate(fd.Number(r.file), other), unix.EPERM)
	}
	test.Is(t, unix.Fallocate(fd.Number(r.file), 0, size, 1), unix.EPERM)
	_, err := unix.FcntlInt(uintptr(fd.Number(r.file)), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
	test.Is(t, err, unix.EPERM)
}

// All pages are there from the start: a limit that leaves none is an error now, and no signal later.
func TestMemoryIsAllocatedAtOnce(t *testing.T) {
	r, _ := open(t, 1<<20)
	var stat unix.Stat_t
	test.Check(t, unix.Fstat(fd.Number(r.file), &stat))
	test.Equal(t, stat.Blocks*512, int64(headerSize()+1<<20))
}

// A limit that forbids a file of the ring's size is an error: exceeding it would be a signal.
func TestLimitOfAFilesSizeIsAnError(t *testing.T) {
	var limit unix.Rlimit
	test.Check(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &limit))
	test.Check(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 16, Max: limit.Max}))
	_, _, err := New(1 << 16) // and a header
	test.Check(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	test.Is(t, err, unix.EFBIG)
}

// What somebody else could shrink is not mapped, nor is what has the size of no ring.
func TestMemoryOfAnotherMakeIsRefused(t *testing.T) {
	for name, build := range map[string]func(f *os.File) error{
		"not sealed": func(f *os.File) error { return unix.Ftruncate(fd.Number(f), int64(headerSize()+os.Getpagesize())) },
		"no ring":    func(f *os.File) error { return prepare(f, headerSize()+3*os.Getpagesize()) },
		"no data":    func(f *os.File) error { return prepare(f, headerSize()) },
		"empty":      func(f *os.File) error { return prepare(f, 1) },
	} {
		f, err := createFile()
		test.Check(t, err)
		if err := build(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := mapShared(f); err == nil {
			t.Errorf("%s: it was mapped", name)
		}
		test.Check(t, f.Close())
	}
	pipe, other, err := os.Pipe()
	test.Check(t, err)
	defer other.Close()
	defer pipe.Close()
	if _, err := mapShared(pipe); err == nil {
		t.Error("a pipe was mapped")
	}
}

func TestCapacityIsAPowerOfTwo(t *testing.T) {
	page := os.Getpagesize()
	for size, want := range map[int]int{
		1: page, page: page, page + 1: 2 * page, 1 << 20: 1 << 20, 1<<20 + 1: 2 << 20, 1 << 30: 1 << 30, 1<<30 + 1: 1 << 30,
	} {
		test.Equal(t, capacityFor(size), want)
	}
}

// Nothing is left of ends that were closed.
func TestCloseGivesEverythingBack(t *testing.T) {
	open(t, 1) // what is made once is there now
	mapped, descriptors := mappings(t), test.OpenDescriptors(t)
	for range 20 {
		r, w, err := New(1 << 16)
		test.Check(t, err)
		test.Equal(t, mappings(t), mapped+2)
		test.Check(t, r.Close())
		test.Check(t, w.Close())
		test.Equal(t, mappings(t), mapped)
	}
	test.Equal(t, test.OpenDescriptors(t), descriptors)
}

// Nor is of ends that were dropped.
func TestDroppedEndsAreUnmapped(t *testing.T) {
	open(t, 1)
	mapped, descriptors := mappings(t), test.OpenDescriptors(t)
	const n = 20
	for range n {
		r, w, err := New(1)
		test.Check(t, err)
		test.Equal(t, w.WriteNow([]byte("x"), nil), true)
		_, err = r.Read(t.Context(), lent(make([]byte, 1)))
		test.Check(t, err)
	}
	test.Eventually(t, "all are collected", func() bool {
		runtime.GC()
		return mappings(t) <= mapped+2 && test.OpenDescriptors(t) <= descriptors+6 // the last may still be on the stack
	})
}

// A half that was opened from the descriptors of another goes on where that was.
func TestOpenedHalfGoesOn(t *testing.T) {
	test.Bounded(t)
	r, w := open(t, 1)
	test.Equal(t, w.WriteNow([]byte("abc"), nil), true)
	buf := make([]byte, 10)
	n, err := r.Read(t.Context(), lent(buf[:1]))
	test.Check(t, err)
	test.Equal(t, string(buf[:n]), "a")

	numbers := func(h *half) (all []uintptr) {
		dups, err := h.Duplicate()
		test.Check(t, err)
		for _, f := range dups {
			n, err := unix.FcntlInt(uintptr(fd.Number(f)), unix.F_DUPFD_CLOEXEC, 0)
			test.Check(t, err)
			test.Check(t, f.Close())
			all = append(all, uintptr(n))
		}
		return all
	}
	r2, err := OpenSource(numbers(r.half))
	test.Check(t, err)
	defer r2.Close()
	w2, err := OpenSink(numbers(w.half))
	test.Check(t, err)
	defer w2.Close()
	test.Check(t, r.Close())
	test.Check(t, w.Close())
	test.Equal(t, w2.WriteNow([]byte("de"), nil), true) // rings, because the reader's end was closed somewhere
	n, err = r2.Read(t.Context(), lent(buf))
	test.Check(t, err)
	test.Equal(t, string(buf[:n]), "bcde")
	test.Equal(t, w2.WriteNow([]byte("f"), nil), true)
	n, err = r2.Read(t.Context(), lent(buf))
	test.Check(t, err)
	test.Equal(t, string(buf[:n]), "f")
}
