package codec

import (
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// fuzzed has one field of every kind that a message can hold. It has no map with a float key, for a NaN there is never equal.
type fuzzed struct {
	Name   string
	Int    int32
	Uint   uint64
	Float  float32
	Ok     *bool
	When   time.Time
	Data   []byte
	Hash   [4]byte
	Items  []fuzzed
	ByName map[string]any
	ByItem map[parcel]int
	Any    any
}

func FuzzCBORDecode(f *testing.F) {
	for _, msg := range hostileMessages {
		f.Add(msg)
	}
	example := fuzzed{When: fullShipment().When, Items: []fuzzed{{}}, ByItem: map[parcel]int{{"a", 1}: 2}}
	for _, v := range append(test.EdgeValues(), fullShipment(), example, map[any]any{1: "x"}) {
		msg, err := Append(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		decodeAsLibrary(t, msg)
		// An element of 250 bytes can be null, one byte; a map's table doubles that.
		stable[fuzzed](t, msg, 1000)
		stable[[]fuzzed](t, msg, 1000)
		stable[map[string]fuzzed](t, msg, 2000)
		stable[any](t, msg, 1000)
	})
}

func stable[T any](t *testing.T, msg []byte, perByte int) {
	t.Helper()
	appendTo := func(dst []byte, v T) ([]byte, error) { return Append(dst, &v) }
	decode := func(src []byte, v *T) error { return Decode(src, v) }
	test.Stable(t, appendTo, decode, msg, perByte)
}
