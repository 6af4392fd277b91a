package gipc

import (
	"errors"

	"github.com/go-gipc/gipc/internal/wire"
)

// A value of T into a frame, and back out of a payload. Package wire knows the frame, the codec the value.

// encode puts v's encoding into f. Of a large raw message f keeps the memory until it is sent.
func (w *Writer[T]) encode(f *wire.Frame, v T) error {
	if w.raw {
		f.SetPayload(*any(&v).(*[]byte), w.out.CopyLimit())
		return nil
	}
	room, err := w.codec.Append(f.Room(), v)
	if err == nil && !f.Appended(room) {
		err = errNotAppended
	}
	if err != nil {
		return &EncodeError{Type: typeName[T](), Codec: w.codec.Name(), Err: err}
	}
	return nil
}

var errNotAppended = errors.New("Append did not append to dst")

// decode decodes a payload into *v. It ends what Next began, also when the codec panics.
func (r *Reader[T]) decode(payload []byte, v *T) error {
	n := len(payload)
	defer r.in.Done(n)
	if err := r.codec.Decode(payload, v); err != nil {
		return &DecodeError{Type: typeName[T](), Codec: r.codec.Name(), Size: n, Err: err}
	}
	return nil
}
