// Package pack turns structs into bytes and back, by a list of their fields: what parent and child say to each other while a
// child starts. Reflection would take longer there than all the rest. It is no format for anything else: both sides must have
// the same list.
//
// What is parsed may come from a hostile process: memory grows with the bytes that are there, and nothing panics.
package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Message lists its fields, by calls that take a pointer to each of them. It is a pointer.
type Message interface{ Fields(*Fields) }

// Fields reads the fields of a message, or writes them.
type Fields struct {
	buf     []byte // what is still to be read, or what is written
	reading bool
	failed  bool // the rest can't be read
}

var errMalformed = errors.New("its fields don't end where it ends")

// Append appends the fields of m to dst.
func Append(dst []byte, m Message) []byte {
	f := Fields{buf: dst}
	m.Fields(&f)
	return f.buf
}

// Parse sets the fields of m from what Append wrote, which is all of src. It keeps no reference to src. If it
// fails, the fields up to the one that can't be read are set.
func Parse(src []byte, m Message) error {
	f := Fields{buf: src, reading: true}
	m.Fields(&f)
	if f.failed || len(f.buf) > 0 {
		return errMalformed
	}
	return nil
}

// Uint is for an unsigned number.
func Uint[T ~uint64](f *Fields, n *T) {
	if !f.reading {
		f.buf = binary.AppendUvarint(f.buf, uint64(*n))
		return
	}
	v, size := binary.Uvarint(f.buf)
	f.skip(size)
	*n = T(v)
}

// Int is for a signed number.
func Int[T ~int | ~int64](f *Fields, n *T) {
	if !f.reading {
		f.buf = binary.AppendVarint(f.buf, int64(*n))
		return
	}
	v, size := binary.Varint(f.buf)
	if int64(T(v)) != v { // it is above what an int has here
		size = -1
	}
	f.skip(size)
	*n = T(v)
}

// Bool is for a truth value.
func Bool(f *Fields, b *bool) {
	var n uint64
	if *b {
		n = 1
	}
	Uint(f, &n)
	*b = n > 0
}

// Text is for a string, or bytes. Bytes that are none arrive as nil.
func Text[T string | []byte](f *Fields, t *T) {
	n := uint64(len(*t))
	Uint(f, &n)
	if !f.reading {
		f.buf = append(f.buf, *t...)
		return
	}
	switch t := any(t).(type) {
	case *string:
		*t = string(f.take(n))
	case *[]byte:
		*t = bytes.Clone(f.take(n))
	}
}

// List is for a list, of which each handles an element.
func List[T any](f *Fields, list *[]T, each func(*T)) {
	n := uint64(len(*list))
	Uint(f, &n)
	if !f.reading {
		for i := range *list {
			each(&(*list)[i])
		}
		return
	}
	*list = nil
	for ; n > 0 && !f.failed; n-- {
		var e T
		each(&e)
		*list = append(*list, e)
	}
}

// take returns the next n bytes; nil if there are none, or not so many.
func (f *Fields) take(n uint64) (b []byte) {
	f.failed = f.failed || n > uint64(len(f.buf))
	if !f.failed && n > 0 {
		b, f.buf = f.buf[:n], f.buf[n:]
	}
	return b
}

// skip goes on behind a number of so many bytes. Where it could not be read, size is 0 or negative.
func (f *Fields) skip(size int) {
	f.failed = f.failed || size <= 0
	if !f.failed {
		f.buf = f.buf[size:]
	}
}
