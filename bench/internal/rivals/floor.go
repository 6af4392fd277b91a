package rivals

import (
	"bufio"
	"encoding/binary"
	"io"
	"slices"

	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// floorA is what a careful program does by hand.
var floorA = links{
	name:   "floor A",
	about:  "by hand: one Write a message on an os.Pipe, bufio.Reader of 64 KiB at the other end",
	locked: true, // os.File takes writes one at a time
	shape:  frameShape,
	raw: func(r io.ReadCloser, w io.WriteCloser) work.Conn[[]byte] {
		return &frames{r: bufio.NewReaderSize(r, chunk), w: w}
	},
	record: func(r io.ReadCloser, w io.WriteCloser) work.Conn[record.Record] {
		return &records{frames: frames{r: bufio.NewReaderSize(r, chunk), w: w}}
	},
}.register()

const headerSize = 4

// frameShape makes messages that have their header already, so that a floor copies nothing to send one.
func frameShape(size int) work.Shape[[]byte] {
	raw := work.RawShape(size)
	return work.Shape[[]byte]{
		Make: func(number uint64) []byte {
			return append(binary.BigEndian.AppendUint32(nil, uint32(size)), raw.Make(number)...)
		},
		Number: func(frame []byte) uint64 { return raw.Number(frame[headerSize:]) },
	}
}

// frames is a Conn of whole frames: four bytes of length, and the payload.
type frames struct {
	r *bufio.Reader
	w io.WriteCloser
}

func (f *frames) Send(frame []byte) error {
	_, err := f.w.Write(frame)
	return err
}

func (f *frames) Recv(frame *[]byte) error {
	b := slices.Grow((*frame)[:0], headerSize)[:headerSize]
	if _, err := io.ReadFull(f.r, b); err != nil {
		return err
	}
	n := headerSize + int(binary.BigEndian.Uint32(b))
	b = slices.Grow(b, n-headerSize)[:n]
	_, err := io.ReadFull(f.r, b[headerSize:])
	*frame = b
	return err
}

func (f *frames) Close() error { return f.w.Close() }

// records is a Conn of records in frames, by the encoding that is written by hand.
type records struct {
	frames
	out, in []byte
}

func (r *records) Send(v record.Record) (err error) {
	if r.out, err = record.ByHand(v).AppendBinary(append(r.out[:0], make([]byte, headerSize)...)); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(r.out, uint32(len(r.out)-headerSize))
	return r.frames.Send(r.out)
}

func (r *records) Recv(v *record.Record) error {
	if err := r.frames.Recv(&r.in); err != nil {
		return err
	}
	return (*record.ByHand)(v).UnmarshalBinary(r.in[headerSize:])
}
