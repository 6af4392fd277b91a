package gipc

import (
	"slices"

	"github.com/go-gipc/gipc/internal/wire"
)

// How ends of each kind move: see handover.go.

func (r *Reader[T]) halves() ([]movedHalf, error) {
	if r.in == nil {
		return nil, errZeroEnd
	}
	return []movedHalf{{half: r.in, codec: r.codec.Name()}}, codecTravels(r.codec)
}

func (r *Reader[T]) adopt(halves []adoptedHalf) error {
	in, ok := halves[0].half.(*wire.Inbound)
	if !ok {
		return errMixedUp
	}
	codec, err := codecByName[T](halves[0].Codec)
	*r = readerOn(in, codec)
	return err
}

func (r *Reader[T]) isMoving() bool { return r.in != nil && r.in.IsMoving() }

// MarshalCBOR refuses: an end can't travel inside a message, only in the arguments of Spawn.
func (r *Reader[T]) MarshalCBOR() ([]byte, error) { return encodeEnd(r) }

// UnmarshalCBOR refuses, as MarshalCBOR does.
func (r *Reader[T]) UnmarshalCBOR([]byte) error { return decodeEnd() }

// MarshalJSON refuses, as MarshalCBOR does.
func (r *Reader[T]) MarshalJSON() ([]byte, error) { return nil, errInMessage }

// UnmarshalJSON refuses, as MarshalCBOR does.
func (r *Reader[T]) UnmarshalJSON([]byte) error { return errInMessage }

func (w *Writer[T]) halves() ([]movedHalf, error) {
	if w.out == nil {
		return nil, errZeroEnd
	}
	return []movedHalf{{half: w.out, codec: w.codec.Name()}}, codecTravels(w.codec)
}

func (w *Writer[T]) adopt(halves []adoptedHalf) error {
	out, ok := halves[0].half.(*wire.Outbound)
	if !ok {
		return errMixedUp
	}
	codec, err := codecByName[T](halves[0].Codec)
	*w = writerOn(out, codec)
	return err
}

func (w *Writer[T]) isMoving() bool { return w.out != nil && w.out.IsMoving() }

// MarshalCBOR refuses: an end can't travel inside a message, only in the arguments of Spawn.
func (w *Writer[T]) MarshalCBOR() ([]byte, error) { return encodeEnd(w) }

// UnmarshalCBOR refuses, as MarshalCBOR does.
func (w *Writer[T]) UnmarshalCBOR([]byte) error { return decodeEnd() }

// MarshalJSON refuses, as MarshalCBOR does.
func (w *Writer[T]) MarshalJSON() ([]byte, error) { return nil, errInMessage }

// UnmarshalJSON refuses, as MarshalCBOR does.
func (w *Writer[T]) UnmarshalJSON([]byte) error { return errInMessage }

func (d *Duplex[In, Out]) halves() ([]movedHalf, error) {
	if d.r == nil {
		return nil, errZeroEnd
	}
	r, errR := d.r.halves()
	w, errW := d.w.halves()
	if errR == nil {
		errR = errW
	}
	return slices.Concat(r, w), errR
}

func (d *Duplex[In, Out]) adopt(halves []adoptedHalf) error {
	d.r, d.w = new(Reader[In]), new(Writer[Out])
	if err := d.r.adopt(halves[:1]); err != nil {
		return err
	}
	return d.w.adopt(halves[1:])
}

func (d *Duplex[In, Out]) isMoving() bool { return d.r != nil && d.r.isMoving() && d.w.isMoving() }

// MarshalCBOR refuses: an end can't travel inside a message, only in the arguments of Spawn.
func (d *Duplex[In, Out]) MarshalCBOR() ([]byte, error) { return encodeEnd(d) }

// UnmarshalCBOR refuses, as MarshalCBOR does.
func (d *Duplex[In, Out]) UnmarshalCBOR([]byte) error { return decodeEnd() }

// MarshalJSON refuses, as MarshalCBOR does.
func (d *Duplex[In, Out]) MarshalJSON() ([]byte, error) { return nil, errInMessage }

// UnmarshalJSON refuses, as MarshalCBOR does.
func (d *Duplex[In, Out]) UnmarshalJSON([]byte) error { return errInMessage }

// movedError is what calls on a moved end return.
type movedError struct{ child string }

func (e *movedError) Error() string {
	return "end was moved to child process " + e.child + ": use it there, and give each child a channel of its own"
}

func (e *movedError) Unwrap() error { return ErrMoved }
