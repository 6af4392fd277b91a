package test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// EdgeInts are at the limits of Go's types and of CBOR's heads.
var EdgeInts = []int64{
	0, 1, 23, 24, 127, 128, 255, 256, 65535, 65536, math.MaxInt32, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64,
	-1, -24, -25, -128, -129, -256, -257, -65536, -65537, math.MinInt32, -math.MaxUint32 - 1, -math.MaxUint32 - 2, math.MinInt64,
}

// EdgeFloats are at the limits of both widths, or lose bits easily.
var EdgeFloats = []float64{
	0, math.Copysign(0, -1), 1.5, math.MaxFloat32, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1),
	math.NaN(), math.Float64frombits(0xfff8_0000_dead_beef),
}

// SignallingNaN is one that a conversion to float64 and back would quieten.
var SignallingNaN = math.Float32frombits(0x7fa0_0001)

// EdgeStrings are at the limits of CBOR's heads, or no text.
var EdgeStrings = []string{
	"", "a", strings.Repeat("x", 23), strings.Repeat("x", 24), strings.Repeat("x", 255), strings.Repeat("x", 256),
	strings.Repeat("x", 65536), "not UTF-8: \xff\xfe", "\x00",
}

// EdgeValues are those of the lists above, under all the types that messages of one number or text can have.
func EdgeValues() []any {
	values := []any{true, nil}
	for _, i := range EdgeInts {
		values = append(values, i, uint64(i))
	}
	for _, x := range EdgeFloats {
		values = append(values, x, float32(x))
	}
	for _, s := range EdgeStrings {
		values = append(values, s, []byte(s))
	}
	return values
}

// Says fails the test, but lets it go on, unless err is an error with a text in it.
func Says(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want one with %q", err, want)
	}
}

// Stable decodes msg, encodes the result and decodes that, and wants the same value, also in the place
// of a used one. Decoding may allocate only perByte bytes for each of msg, and a little more.
func Stable[T any](t testing.TB, appendTo func([]byte, T) ([]byte, error), decode func([]byte, *T) error, msg []byte, perByte int) {
	t.Helper()
	var v T
	var err error
	limit := uint64(1<<20 + perByte*len(msg)) // the allowance is for the type's first use, caches and pools
	allocated := Allocates(limit, func() {
		v = *new(T)
		err = decode(msg, &v)
	})
	if allocated > limit {
		t.Errorf("%T: allocated %d bytes for a message of %d", &v, allocated, len(msg))
	}
	if err != nil {
		return
	}
	once, err := appendTo(nil, v)
	if err != nil {
		return // what can be decoded in an `any`, or as a time, is more than what can be encoded
	}
	var again T
	if err := decode(once, &again); err != nil {
		t.Fatalf("%T: own encoding of %#v: %v", &v, v, err)
	}
	first, fresh := sorted(t, v), sorted(t, again)
	if err := decode(once, &v); err != nil {
		t.Fatalf("%T: into a used value: %v", &v, err)
	}
	if used := sorted(t, v); !bytes.Equal(fresh, first) || !bytes.Equal(used, first) {
		t.Errorf("%T: decoded to %x, then to %x, and into a used value to %x", &v, first, fresh, used)
	}
}

// sorted encodes v so that equal values, maps and NaNs too, have equal encodings, and others don't.
func sorted(t testing.TB, v any) []byte {
	t.Helper()
	mode, err := cbor.EncOptions{
		Time: cbor.TimeRFC3339Nano, TimeTag: cbor.EncTagRequired,
		NaNConvert: cbor.NaNConvertNone, InfConvert: cbor.InfConvertNone, IndefLength: cbor.IndefLengthForbidden,
		Sort: cbor.SortBytewiseLexical,
	}.EncMode()
	Check(t, err)
	msg, err := mode.Marshal(v)
	if err != nil {
		t.Fatalf("encode %#v: %v", v, err)
	}
	return msg
}
