package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync/atomic"

	"github.com/go-gipc/gipc/internal/ends"
	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/ring"
	"github.com/go-gipc/gipc/internal/wire"
)

// half is one direction of an end, as Spawn hands it over: a *wire.Inbound or a *wire.Outbound.
type half interface {
	// BeginMove keeps everybody from the half, until AbandonMove or FinishMove. It fails if a call is under way.
	BeginMove(ctx context.Context) error
	AbandonMove()
	// FinishMove closes the half here; err is what later calls return.
	FinishMove(err error) error
	// State says what the child must know; only between BeginMove and its end.
	State() wire.State
	Stream() io.Closer
}

// movable is implemented by *Reader, *Writer and *Duplex.
type movable interface {
	// halves returns what moves with the end. The codecs are known to RegisterCodec, or it fails.
	halves() ([]movedHalf, error)
	// adopt makes the end, which is zero, one of the given halves: as many as halves returned in the parent.
	adopt([]adoptedHalf) error
	isMoving() bool
}

// finder finds ends in arguments.
var finder = ends.NewFinder(movableType)

var movableType = reflect.TypeFor[movable]()

type movedHalf struct {
	half
	codec string
	path  string // in the arguments, where it occurs first
}

type movedFile struct {
	*os.File
	path string // likewise
}

type adoptedHalf struct {
	half
	passedEnd
}

// passedEnd is how a half, or a file, travels to the child. The descriptors themselves are inherited, in the same order.
type passedEnd struct {
	Kind   passedKind
	Codec  string
	State  wire.State
	Shared bool   // a half with shared memory, of ring.Descriptors descriptors
	Name   string // of a file
}

// descriptors is how many the child has inherited.
func (p *passedEnd) descriptors() int {
	if p.Shared {
		return ring.Descriptors
	}
	return 1
}

type passedKind int

const (
	passedReader passedKind = iota
	passedWriter
	passedFile
)

// handover is what one Spawn moves. Ends and files that occur several times in the arguments move once.
type handover struct {
	moved  []movedHalf // begun
	files  []movedFile
	passed []passedEnd      // of the halves, then of the files
	fds    []fd.Inheritable // the same
	uses   []int            // for each occurrence in the arguments, in walk's order: which of passed
}

// beginHandover finds all ends and files in args and keeps everybody from them, or fails and leaves them as they were.
func beginHandover(ctx context.Context, args any) (*handover, error) {
	h := &handover{}
	begun := false
	defer func() {
		if !begun { // a panic of the user's code, in a map's key, comes this way too
			h.abandon()
		}
	}()
	index := map[any]int{}
	var fileUses []int // positions in uses that count from the first file
	err := finder.Walk(reflect.ValueOf(args), func(v any, path string) error {
		if f, ok := v.(*os.File); ok {
			i, seen := index[f]
			if !seen {
				i = len(h.files)
				index[f] = i
				h.files = append(h.files, movedFile{f, path})
			}
			fileUses = append(fileUses, len(h.uses))
			h.uses = append(h.uses, i)
			return nil
		}
		halves, err := v.(movable).halves()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, m := range halves {
			i, seen := index[m.half]
			if !seen {
				i = len(h.moved)
				if err := m.BeginMove(ctx); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				index[m.half] = i
				m.path = path
				h.moved = append(h.moved, m)
			}
			h.uses = append(h.uses, i)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, at := range fileUses {
		h.uses[at] += len(h.moved)
	}
	if err := h.open(); err != nil {
		return nil, err
	}
	begun = true
	return h, nil
}

// open makes the descriptors that the child inherits.
func (h *handover) open() error {
	for _, m := range h.moved {
		fds, shared, err := duplicates(m.Stream())
		if err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
		h.fds = append(h.fds, fds...)
		kind := passedReader
		if _, writes := m.half.(*wire.Outbound); writes {
			kind = passedWriter
		}
		h.passed = append(h.passed, passedEnd{Kind: kind, Codec: m.codec, State: m.State(), Shared: shared})
	}
	for _, f := range h.files {
		dup, err := fd.DuplicateFile(f.File)
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		h.fds = append(h.fds, dup)
		h.passed = append(h.passed, passedEnd{Kind: passedFile, Name: f.Name()})
	}
	return nil
}

// duplicates returns what a child inherits of a half's stream, and whether that has shared memory.
func duplicates(stream io.Closer) (fds []fd.Inheritable, shared bool, err error) {
	if half, ok := stream.(ringHalf); ok {
		fds, err = half.Duplicate()
		return fds, true, err
	}
	f, err := inheritable(stream)
	return []fd.Inheritable{f}, false, err
}

// release closes the descriptors made for the child, once it has its own.
func (h *handover) release() {
	for _, f := range h.fds {
		_ = f.Close() // a duplicate: closing it loses nothing
	}
	h.fds = nil
}

// abandon leaves everything as it was before.
func (h *handover) abandon() {
	h.release()
	for _, m := range h.moved {
		m.AbandonMove()
	}
}

// finish closes here what is the child's now.
func (h *handover) finish(moved error) {
	for _, m := range h.moved {
		_ = m.FinishMove(moved) // the child has its own descriptor
	}
	for _, f := range h.files {
		_ = f.Close() // likewise
	}
}

// resume makes the half again, of its descriptors in this process.
func (p *passedEnd) resume(fds []uintptr) (half, error) {
	switch {
	case p.Kind == passedReader && p.Shared:
		source, err := ring.OpenSource(fds)
		if err != nil {
			return nil, err
		}
		return wire.ResumeInboundOver(source, source, p.State), nil
	case p.Shared:
		sink, err := ring.OpenSink(fds)
		if err != nil {
			return nil, err
		}
		return wire.ResumeOutboundOver(sink, sink, p.State), nil
	case p.Kind == passedReader:
		return wire.ResumeInbound(fd.OpenEnd(fds[0], p.State.NonBlocking), p.State), nil
	}
	return wire.ResumeOutbound(fd.OpenEnd(fds[0], p.State.NonBlocking), p.State), nil
}

// adopting is set while this process decodes its arguments: only then may a decoder make ends.
var adopting atomic.Bool

// adoptAll fills in the ends and files in args, which is a pointer to freshly decoded arguments. The descriptors are those
// of passed.
func adoptAll(args any, passed []passedEnd, uses []int, fds []uint64) ([]half, error) {
	halves := make([]half, len(passed))
	files := make([]*os.File, len(passed))
	for i, p := range passed {
		var mine []uintptr
		for _, n := range fds[:p.descriptors()] {
			if err := fd.Claim(uintptr(n)); err != nil {
				return nil, err
			}
			mine = append(mine, uintptr(n))
		}
		fds = fds[len(mine):]
		if p.Kind == passedFile {
			files[i] = os.NewFile(mine[0], p.Name) // its mode is its own business
			continue
		}
		half, err := p.resume(mine)
		if err != nil {
			return nil, err
		}
		halves[i] = half
	}
	next := func() (int, error) {
		if len(uses) == 0 {
			return 0, errors.New("the arguments hold more ends than were handed over")
		}
		i := uses[0]
		uses = uses[1:]
		return i, nil
	}
	err := finder.Walk(reflect.ValueOf(args), func(v any, path string) error {
		if f, ok := v.(*os.File); ok {
			i, err := next()
			if err != nil {
				return err
			}
			if files[i] == nil {
				return errMixedUp
			}
			*f = *files[i]
			return nil
		}
		m := v.(movable)
		var mine []adoptedHalf
		for range halvesOf(m) {
			i, err := next()
			if err != nil {
				return err
			}
			mine = append(mine, adoptedHalf{halves[i], passed[i]})
		}
		return m.adopt(mine)
	})
	if err == nil && len(uses) > 0 { // some were not encoded, and the others may have taken their places
		err = errMixedUp
	}
	return halves, err
}

// halvesOf is how many halves an end of m's type has.
func halvesOf(m movable) int {
	if _, ok := m.(interface{ CloseWrite() error }); ok {
		return 2
	}
	return 1
}

var (
	errZeroEnd = errors.New("the end was not made by Pipe, NewDuplex, NewReader or NewWriter")
	errMixedUp = errors.New("the arguments do not match the ends that were handed over: a type's own encoding, or a field hidden by another of the same name, leaves an end out")
)

var errInMessage = errors.New(ends.InMessage)

// encodeEnd is MarshalCBOR of all ends: a placeholder in the arguments of Spawn, an error anywhere else.
func encodeEnd(m movable) ([]byte, error) {
	if !m.isMoving() {
		return nil, errInMessage
	}
	return []byte{0xf5}, nil // true: anything but null, so that the decoder makes an end
}

func decodeEnd() error {
	if !adopting.Load() {
		return errInMessage
	}
	return nil
}

// CloseEnds closes the ends and files in args. Call it when Spawn has failed: the ends in its arguments have then not moved.
// Messages queued in a Writer are dropped.
//
// It finds ends and files where Spawn does, and ends in values of interface type, which can't move. It leaves alone what is
// in unexported fields, and files in values of interface type, such as os.Stderr in an io.Writer.
func CloseEnds(args any) { finder.Close(args) }
