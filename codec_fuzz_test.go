package gipc

import (
	"bytes"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
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
	for _, v := range seedValues() {
		msg, err := appendCBOR(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		decodeAsLibrary(t, msg)
		// An element of 250 bytes can be null, one byte; a map's table doubles that.
		stable(t, CBOR[fuzzed]{}, msg, 1000)
		stable(t, CBOR[[]fuzzed]{}, msg, 1000)
		stable(t, CBOR[map[string]fuzzed]{}, msg, 2000)
		stable(t, CBOR[any]{}, msg, 1000)
	})
}

func FuzzJSONDecode(f *testing.F) {
	f.Add([]byte(`{"Name":"a","Items":[{},null],"Any":[1e400]}`))
	f.Add([]byte(`[1] 2`))
	f.Add(bytes.Repeat([]byte("["), 20_000))
	for _, v := range seedValues() {
		if msg, err := (JSON[any]{}).Append(nil, v); err == nil {
			f.Add(msg)
		}
	}
	type message struct {
		Name  string
		Int   int32
		When  time.Time
		Data  []byte
		Items []struct{ Any any }
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		stable(t, JSON[message]{}, msg, 1000)
		stable(t, JSON[[]message]{}, msg, 1000)
		stable(t, JSON[any]{}, msg, 1000)
	})
}

func FuzzRawDecode(f *testing.F) {
	for _, s := range edgeStrings {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		stable(t, Raw{}, msg, 2)
		var v []byte
		if err := (Raw{}).Decode(msg, &v); err != nil || v == nil || !bytes.Equal(v, msg) {
			t.Errorf("got %x, %v; want %x", v, err, msg)
		}
	})
}

func FuzzBinaryDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("8 bytes."))
	f.Fuzz(func(t *testing.T, msg []byte) {
		stable(t, Binary[coordinates]{}, msg, 2)
		stable(t, Binary[*coordinates]{}, msg, 2)
	})
}

// seedValues are the values of the test tables.
func seedValues() []any {
	values := []any{fullShipment(), fuzzed{When: exactTime, Items: []fuzzed{{}}, ByItem: map[parcel]int{{"a", 1}: 2}}, map[any]any{1: "x"}, true, nil}
	for _, i := range edgeInts {
		values = append(values, i, uint64(i))
	}
	for _, x := range edgeFloats {
		values = append(values, x, float32(x))
	}
	for _, s := range edgeStrings {
		values = append(values, s, []byte(s))
	}
	return values
}

// stable decodes msg, encodes the result and decodes that, and wants the same value, also in the place
// of a used one. Decoding may allocate only perByte bytes for each of msg, and a little more.
func stable[T any](t *testing.T, c Codec[T], msg []byte, perByte int) {
	t.Helper()
	var v T
	var err error
	limit := uint64(1<<20 + perByte*len(msg)) // the allowance is for the type's first use, caches and pools
	allocated := allocates(limit, func() {
		v = *new(T)
		err = c.Decode(msg, &v)
	})
	if allocated > limit {
		t.Errorf("%T: allocated %d bytes for a message of %d", c, allocated, len(msg))
	}
	if err != nil {
		return
	}
	once, err := c.Append(nil, v)
	if err != nil {
		return // what can be decoded in an `any`, or as a time, is more than what can be encoded
	}
	var again T
	if err := c.Decode(once, &again); err != nil {
		t.Fatalf("%T: own encoding of %#v: %v", c, v, err)
	}
	first, fresh := sorted(t, v), sorted(t, again)
	if err := c.Decode(once, &v); err != nil {
		t.Fatalf("%T: into a used value: %v", c, err)
	}
	if used := sorted(t, v); !bytes.Equal(fresh, first) || !bytes.Equal(used, first) {
		t.Errorf("%T: decoded to %x, then to %x, and into a used value to %x", c, first, fresh, used)
	}
}

// sortedEncoding is cborEncoding with an order for maps, so that equal values have equal encodings.
var sortedEncoding = must(func() (cbor.EncMode, error) {
	options := cborEncoding.EncOptions()
	options.Sort = cbor.SortBytewiseLexical
	return options.EncMode()
}())

func sorted(t *testing.T, v any) []byte {
	t.Helper()
	msg, err := sortedEncoding.Marshal(v)
	if err != nil {
		t.Fatalf("encode %#v: %v", v, err)
	}
	return msg
}
