package record

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

var errShort = errors.New("the record is cut short")

// ByHand is a Record with an encoding such as one writes by hand. The methods are not Record's own, because gob and others would
// use them.
type ByHand Record

// AppendBinary appends the encoding of r to b.
func (r ByHand) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendUvarint(b, r.ID)
	b = appendString(b, r.Name)
	b = binary.AppendUvarint(b, uint64(len(r.Tags)))
	for _, tag := range r.Tags {
		b = appendString(b, tag)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Attrs)))
	for k, v := range r.Attrs {
		b = appendString(appendString(b, k), v)
	}
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(r.Score))
	b = binary.BigEndian.AppendUint64(b, uint64(r.When.UnixNano()))
	return appendString(b, r.Blob), nil
}

func appendString[S string | []byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// UnmarshalBinary decodes what AppendBinary has appended. It copies all that it keeps.
func (r *ByHand) UnmarshalBinary(b []byte) error {
	d := decoder{rest: b}
	r.ID = d.uvarint()
	r.Name = string(d.bytes())
	tags := d.count(1)
	r.Tags = slices.Grow(r.Tags[:0], tags)
	for range tags {
		r.Tags = append(r.Tags, string(d.bytes()))
	}
	attrs := d.count(2)
	r.Attrs = make(map[string]string, attrs)
	for range attrs {
		k := string(d.bytes())
		r.Attrs[k] = string(d.bytes())
	}
	r.Score = math.Float64frombits(d.uint64())
	r.When = time.Unix(0, int64(d.uint64())).UTC()
	r.Blob = append(r.Blob[:0], d.bytes()...)
	if d.failed || len(d.rest) > 0 {
		return errShort
	}
	return nil
}

// decoder takes values off rest. After a failure it gives zeros.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.failed, d.rest = true, nil
		return nil
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.failed, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count takes the number of elements that follow, each of which has at least so many bytes.
func (d *decoder) count(atLeast int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/atLeast) {
		d.failed, d.rest = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
