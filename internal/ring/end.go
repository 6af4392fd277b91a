package ring

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/stream"
)

// bellSize is what is asked for as the capacity of the pipes, in bytes: they need next to none, and the kernel counts it.
const bellSize = 4096

// Descriptors is how many a half has.
const Descriptors = 3

// parts are what a half is made of.
type parts struct {
	wake fd.End   // read: the other side wakes us
	ring fd.End   // written: we wake the other side
	file *os.File // the memory
}

func (p parts) close() error {
	var errs []error
	if p.wake != nil {
		errs = append(errs, p.wake.Close())
	}
	if p.ring != nil {
		errs = append(errs, p.ring.Close())
	}
	return errors.Join(append(errs, p.file.Close())...)
}

// New makes a ring for size bytes or a little more, but for at most 1 GiB, and returns its two ends. It fails where the
// system, or a limit, gives no memory to share.
func New(size int) (*Source, *Sink, error) {
	one, other, err := newFile(headerSize() + capacityFor(size))
	if err != nil {
		return nil, nil, err
	}
	r, w := parts{file: one}, parts{file: other}
	if r.wake, w.ring, err = fd.NewPipe(bellSize); err == nil {
		w.wake, r.ring, err = fd.NewPipe(bellSize)
	}
	if err != nil {
		return nil, nil, errors.Join(err, r.close(), w.close())
	}
	source, err := newSource(r)
	if err != nil {
		return nil, nil, errors.Join(err, w.close())
	}
	sink, err := newSink(w)
	if err != nil {
		return nil, nil, errors.Join(err, source.Close())
	}
	return source, sink, nil
}

// OpenSource makes a half of descriptors that this process has inherited, in the order of Duplicate. They are its own, and
// closed if it fails.
func OpenSource(inherited []uintptr) (*Source, error) { return newSource(opened(inherited)) }

// OpenSink does so with a writing half.
func OpenSink(inherited []uintptr) (*Sink, error) { return newSink(opened(inherited)) }

func opened(n []uintptr) parts {
	return parts{wake: fd.OpenEnd(n[0], true), ring: fd.OpenEnd(n[1], true), file: fd.OpenFile(n[2], false)}
}

// half is what both ends have.
type half struct {
	parts
	mem     *memory
	bell    stream.Source // over wake
	ringer  *ringer       // over ring
	scratch [64]byte      // what comes out of the bell
	wakeups atomic.Uint64
}

// newHalf takes over p, which is closed if it fails.
func newHalf(p parts) (*half, shared, error) {
	mem, err := newMemory(p.file)
	if err != nil {
		return nil, shared{}, errors.Join(err, p.close())
	}
	ringer, err := newRinger(p.ring)
	if err != nil {
		mem.close()
		mem.leave()
		return nil, shared{}, errors.Join(err, p.close())
	}
	return &half{parts: p, mem: mem, bell: stream.NewSource(p.wake), ringer: ringer}, over(mem.bytes, headerSize()), nil
}

// await sleeps until the other side rings, or is gone: then the error is io.EOF.
func (h *half) await(ctx context.Context) error {
	n, err := h.bell.Read(ctx, (*bellLender)(h))
	if n > 0 {
		h.wakeups.Add(1)
		return nil
	}
	return err
}

// wakeOther rings for the other side.
func (h *half) wakeOther() error {
	h.wakeups.Add(1)
	return h.ringer.ring()
}

// close closes all but the memory.
func (h *half) close() error { return errors.Join(h.bell.Close(), h.ring.Close(), h.file.Close()) }

// Wakeups returns how often this half has slept and was woken, or has woken the other one. It may be called at any time.
func (h *half) Wakeups() uint64 { return h.wakeups.Load() }

// Size returns how many bytes of memory the ring has.
func (h *half) Size() int { return len(h.mem.bytes) - headerSize() }

// Number returns the number of the descriptor that stands for the half in texts.
func (h *half) Number() int { return fd.Number(h.wake) }

// Duplicate returns second descriptors of the half, for a child to inherit: as many as Descriptors says.
func (h *half) Duplicate() (all []fd.Inheritable, err error) {
	defer func() {
		if err != nil {
			for _, dup := range all {
				_ = dup.Close() // loses nothing
			}
			all = nil
		}
	}()
	for _, end := range []fd.End{h.wake, h.ring} {
		dup, err := fd.Duplicate(end)
		if err != nil {
			return all, err
		}
		all = append(all, dup)
	}
	dup, err := fd.DuplicateFile(h.file)
	if err != nil {
		return all, err
	}
	return append(all, dup), nil
}

// bellLender is a half as the Lender of its bell.
type bellLender half

func (l *bellLender) Lend(bool) []byte { return l.scratch[:] }

func (*bellLender) Unlend() {}

func (*bellLender) Amid() bool { return false }
