package gipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync/atomic"
)

// half is one direction of an end, as Spawn hands it over: an inbound or an outbound.
type half interface {
	// beginMove keeps everybody from the half, until abandonMove or finishMove. It fails if a call is under way.
	beginMove(ctx context.Context) error
	abandonMove()
	// finishMove closes the half here; err is what later calls return.
	finishMove(err error) error
	// describeMove says what the child must know; only between beginMove and its end.
	describeMove() passedEnd
	// inheritable returns a second descriptor of the half's file.
	inheritable() (inheritable, error)
}

// movable is implemented by *Reader, *Writer and *Duplex.
type movable interface {
	// halves returns what moves with the end. The codecs are known to RegisterCodec, or it fails.
	halves() ([]movedHalf, error)
	// adopt makes the end, which is zero, one of the given halves: as many as halves returned in the parent.
	adopt([]adoptedHalf) error
	isMoving() bool
}

type movedHalf struct {
	half
	codec string
}

type adoptedHalf struct {
	half
	passedEnd
}

// passedEnd is how a half, or a file, travels to the child. The descriptors themselves are inherited, in the same order.
type passedEnd struct {
	Kind        passedKind
	Codec       string
	MaxMessage  int
	Buffer      int
	NonBlocking bool   // the descriptor has deadlines
	Name        string // of a file

	// What a Reader must do before it reads from the descriptor, in this order.
	GivenBack [][]byte // messages that Chan had taken
	Skip      uint64   // bytes of a refused message to drop
	Unread    []byte   // read here and not delivered
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
	files  []*os.File
	passed []passedEnd   // of the halves, then of the files
	fds    []inheritable // the same
	uses   []int         // for each occurrence in the arguments, in walk's order: which of passed
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
	err := walk(reflect.ValueOf(args), func(v any, path string) error {
		if f, ok := v.(*os.File); ok {
			i, seen := index[f]
			if !seen {
				i = len(h.files)
				index[f] = i
				h.files = append(h.files, f)
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
				if err := m.beginMove(ctx); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				index[m.half] = i
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
		fd, err := m.inheritable()
		if err != nil {
			return err
		}
		h.fds = append(h.fds, fd)
		p := m.describeMove()
		p.Codec = m.codec
		h.passed = append(h.passed, p)
	}
	for _, f := range h.files {
		fd, err := duplicateFile(f)
		if err != nil {
			return err
		}
		h.fds = append(h.fds, fd)
		h.passed = append(h.passed, passedEnd{Kind: passedFile, Name: f.Name()})
	}
	return nil
}

// release closes the descriptors made for the child, once it has its own.
func (h *handover) release() {
	for _, fd := range h.fds {
		_ = fd.Close() // a duplicate: closing it loses nothing
	}
	h.fds = nil
}

// abandon leaves everything as it was before.
func (h *handover) abandon() {
	h.release()
	for _, m := range h.moved {
		m.abandonMove()
	}
}

// finish closes here what is the child's now.
func (h *handover) finish(moved error) {
	for _, m := range h.moved {
		_ = m.finishMove(moved) // the child has its own descriptor
	}
	for _, f := range h.files {
		_ = f.Close() // likewise
	}
}

// adopting is set while this process decodes its arguments: only then may a decoder make ends.
var adopting atomic.Bool

// adoptAll fills in the ends and files in args, which is a pointer to freshly decoded arguments. The descriptors are those
// of passed.
func adoptAll(args any, passed []passedEnd, uses []int, fds []uint64) ([]half, error) {
	halves := make([]half, len(passed))
	files := make([]*os.File, len(passed))
	for i, p := range passed {
		if err := claim(uintptr(fds[i])); err != nil {
			return nil, err
		}
		switch p.Kind {
		case passedReader:
			in := newInbound(openEnd(uintptr(fds[i]), p.NonBlocking), p.MaxMessage)
			in.seed(p)
			halves[i] = in
		case passedWriter:
			halves[i] = newOutbound(openEnd(uintptr(fds[i]), p.NonBlocking), p.MaxMessage, p.Buffer)
		default:
			files[i] = os.NewFile(uintptr(fds[i]), p.Name) // its mode is its own business
		}
	}
	next := func() (int, error) {
		if len(uses) == 0 {
			return 0, errors.New("the arguments hold more ends than were handed over")
		}
		i := uses[0]
		uses = uses[1:]
		return i, nil
	}
	err := walk(reflect.ValueOf(args), func(v any, path string) error {
		if f, ok := v.(*os.File); ok {
			i, err := next()
			if err == nil {
				*f = *files[i]
			}
			return err
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
	errNoFile  = errors.New("the end's stream has no file that a child could inherit")
	errMixedUp = errors.New("the arguments do not match the ends that were handed over: a type's own encoding, or a field hidden by another of the same name, leaves an end out")
)

var errInMessage = errors.New("a channel end can't travel inside a message: hand it over in the arguments of Spawn")

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
