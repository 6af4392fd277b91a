package gipc

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

var edgeInts = []int64{
	0, 1, 23, 24, 127, 128, 255, 256, 65535, 65536, math.MaxInt32, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64,
	-1, -24, -25, -128, -129, -256, -257, -65536, -65537, math.MinInt32, -math.MaxUint32 - 1, -math.MaxUint32 - 2, math.MinInt64,
}

var edgeFloats = []float64{
	0, math.Copysign(0, -1), 1.5, math.MaxFloat32, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1),
	math.NaN(), math.Float64frombits(0xfff8_0000_dead_beef),
}

var edgeStrings = []string{
	"", "a", strings.Repeat("x", 23), strings.Repeat("x", 24), strings.Repeat("x", 255), strings.Repeat("x", 256),
	strings.Repeat("x", 65536), "not UTF-8: \xff\xfe", "\x00",
}

// TestPlainAsLibrary compares the encoder for plain values with the library's, byte by byte, and the decoders too.
func TestPlainAsLibrary(t *testing.T) {
	for _, i := range edgeInts {
		plainAsLibrary(t, int(i))
		plainAsLibrary(t, int8(i))
		plainAsLibrary(t, int16(i))
		plainAsLibrary(t, int32(i))
		plainAsLibrary(t, i)
		plainAsLibrary(t, level(i))
		plainAsLibrary(t, time.Duration(i))
		plainAsLibrary(t, uint(i))
		plainAsLibrary(t, uint8(i))
		plainAsLibrary(t, uint16(i))
		plainAsLibrary(t, uint32(i))
		plainAsLibrary(t, uint64(i))
	}
	for _, f := range edgeFloats {
		plainAsLibrary(t, f)
		plainAsLibrary(t, float32(f))
		plainAsLibrary(t, weight(f))
	}
	plainAsLibrary(t, math.Float32frombits(0x7fa0_0001)) // a signalling NaN, which a conversion would quieten
	for _, s := range edgeStrings {
		plainAsLibrary(t, s)
		plainAsLibrary(t, label(s))
		plainAsLibrary(t, []byte(s))
		plainAsLibrary(t, blob(s))
	}
	plainAsLibrary(t, []byte(nil))
	plainAsLibrary(t, true)
	plainAsLibrary(t, false)
}

func plainAsLibrary[T any](t *testing.T, v T) {
	t.Helper()
	if !isPlain[T]() {
		t.Fatalf("%T is not plain", v)
	}
	got, err := CBOR[T]{}.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	want, err := cborEncoding.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%T %v: got %x, the library gives %x", v, v, got, want)
	}
	decodeAsLibrary(t, got)
}

// decodeAsLibrary decodes msg into every plain kind and wants what the library gives, errors included.
func decodeAsLibrary(t *testing.T, msg []byte) {
	t.Helper()
	decodesAsLibrary[bool](t, msg)
	decodesAsLibrary[int](t, msg)
	decodesAsLibrary[int8](t, msg)
	decodesAsLibrary[int16](t, msg)
	decodesAsLibrary[int32](t, msg)
	decodesAsLibrary[int64](t, msg)
	decodesAsLibrary[uint](t, msg)
	decodesAsLibrary[uint8](t, msg)
	decodesAsLibrary[uint16](t, msg)
	decodesAsLibrary[uint32](t, msg)
	decodesAsLibrary[uint64](t, msg)
	decodesAsLibrary[float32](t, msg)
	decodesAsLibrary[float64](t, msg)
	decodesAsLibrary[string](t, msg)
	decodesAsLibrary[label](t, msg)
	decodesAsLibrary[[]byte](t, msg)
	decodesAsLibrary[blob](t, msg)
}

func decodesAsLibrary[T any](t *testing.T, msg []byte) {
	t.Helper()
	if checkHeads(msg) != nil {
		return
	}
	var got, want T
	gotErr, wantErr := CBOR[T]{}.Decode(msg, &got), cborDecoding.Unmarshal(msg, &want)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Errorf("%x into %T: error %v, the library's %v", msg, got, gotErr, wantErr)
	}
	gotMsg, _ := cborEncoding.Marshal(got)
	wantMsg, _ := cborEncoding.Marshal(want)
	if wantErr == nil && !bytes.Equal(gotMsg, wantMsg) {
		t.Errorf("%x into %T: got %v, the library gives %v", msg, got, got, want)
	}
}

// hostileMessages are not what gipc writes. Each must be refused, or decoded, fast and in little memory.
var hostileMessages = map[string][]byte{
	"empty":             {},
	"break":             {0xff},
	"reserved":          {0x1c},
	"cut head":          {0x1b, 0, 0, 0},
	"huge array":        {0x9b, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff},
	"huger array":       {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	"huge map":          {0xbb, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0},
	"huge text":         {0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'a'},
	"huge bytes":        {0x5b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1},
	"huge inner array":  {0x82, 0x01, 0x9a, 0x7f, 0xff, 0xff, 0xff},
	"trailing":          {0x01, 0x01},
	"indefinite text":   {0x7f, 0x61, 'a', 0xff},
	"indefinite array":  {0x9f, 0x01, 0xff},
	"duplicate key":     {0xa2, 0x61, 'a', 1, 0x61, 'a', 2},
	"too deep":          append(bytes.Repeat([]byte{0x81}, maxNesting+1), 0),
	"too many tags":     append(bytes.Repeat([]byte{0xc6}, maxTags+1), 0),
	"many tags":         bytes.Repeat([]byte{0xc6}, 1<<20),
	"nested indefinite": bytes.Repeat([]byte{0x9f}, 1<<20),
	"huge integer":      append([]byte{0xc2, 0x5a, 0, 0x10, 0, 0}, make([]byte, 1<<20)...),
	"unhashable key":    {0xa1, 0x81, 0x01, 0x02},
}

func TestHostileMessages(t *testing.T) {
	for name, msg := range hostileMessages {
		t.Run(name, func(t *testing.T) {
			refuses[any](t, msg)
			refuses[[]shipment](t, msg)
			refuses[shipment](t, msg)
			refuses[map[string]any](t, msg)
			refuses[map[string]int](t, msg)
			refuses[string](t, msg)
			refuses[[]byte](t, msg)
			refuses[int](t, msg)
			refuses[big.Int](t, msg)
		})
	}
}

func refuses[T any](t *testing.T, msg []byte) {
	t.Helper()
	var v T
	const limit = 1 << 20
	if allocated := allocates(limit, func() {
		if err := (CBOR[T]{}).Decode(msg, &v); err == nil {
			t.Errorf("%T: decoded to %v, want an error", v, v)
		}
	}); allocated > limit {
		t.Errorf("%T: allocated %d bytes for a message of %d", v, allocated, len(msg))
	}
}

type nestedList struct{ Next *nestedList }

func newNestedList(length int) *nestedList {
	var l *nestedList
	for range length {
		l = &nestedList{l}
	}
	return l
}

func TestNesting(t *testing.T) {
	deepest := newNestedList(maxNesting)
	t.Run("list", roundTrip(CBOR[*nestedList]{}, deepest, deepest))
	var arrays any
	for range maxNesting {
		arrays = []any{arrays}
	}
	t.Run("any", roundTrip(CBOR[any]{}, arrays, arrays))

	_, err := CBOR[*nestedList]{}.Append(nil, newNestedList(maxNesting+1))
	wantError(t, err, "nested more than 10000 deep")
	_, err = CBOR[any]{}.Append(nil, []any{arrays})
	wantError(t, err, "nested more than 10000 deep")

	ring := &nestedList{}
	ring.Next = ring
	_, err = CBOR[*nestedList]{}.Append(nil, ring)
	wantError(t, err, "contains itself")
	self := map[string]any{}
	self["self"] = self
	_, err = CBOR[map[string]any]{}.Append(nil, self)
	wantError(t, err, "contains itself")
	var pointer any
	pointer = &pointer
	_, err = appendCBOR(nil, pointer)
	wantError(t, err, "contains itself")
}

func TestUntypedCBOR(t *testing.T) {
	msg, err := appendCBOR([]byte("keep"), fullShipment())
	if err != nil {
		t.Fatal(err)
	}
	typed, err := CBOR[shipment]{}.Append([]byte("keep"), fullShipment())
	if err != nil || len(msg) != len(typed) { // maps come in any order
		t.Errorf("got %x, want %x", msg, typed)
	}
	var v shipment
	if err := decodeCBOR(msg[len("keep"):], &v); err != nil || !same(v, fullShipment()) {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestEncodeErrors(t *testing.T) {
	_, err := CBOR[any]{}.Append(nil, make(chan int))
	wantError(t, err, "unsupported type")
	_, err = CBOR[time.Time]{}.Append(nil, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))
	wantError(t, err, "year outside")
	_, err = JSON[float64]{}.Append(nil, math.NaN())
	wantError(t, err, "unsupported value")
	_, err = JSON[*nestedList]{}.Append(nil, newNestedList(3))
	if err != nil {
		t.Errorf("an encoder remembers an earlier error: %v", err)
	}
	_, err = Binary[*coordinates]{}.Append(nil, nil)
	wantError(t, err, "a nil *gipc.coordinates")
	_, err = Binary[int]{}.Append(nil, 1)
	wantError(t, err, "is no encoding.BinaryAppender")
	wantError(t, Binary[int]{}.Decode(nil, new(int)), "is no encoding.BinaryAppender")
	wantError(t, JSON[int]{}.Decode([]byte("1 2"), new(int)), "after top-level value")
}

// TestPlainLeavesMethods wants that a type's own methods are called, whatever its kind.
func TestPlainLeavesMethods(t *testing.T) {
	if isPlain[cbor.RawMessage]() || isPlain[cbor.ByteString]() || isPlain[shouted]() {
		t.Error("a type with its own encoding counts as plain")
	}
	msg, err := CBOR[shouted]{}.Append(nil, "a")
	if want := []byte{0x42, 'A', '!'}; err != nil || !bytes.Equal(msg, want) {
		t.Errorf("got %x, %v; want %x", msg, err, want)
	}
}

type shouted string

func (s shouted) MarshalBinary() ([]byte, error) {
	return []byte(strings.ToUpper(string(s)) + "!"), nil
}

func TestAllocations(t *testing.T) {
	allocatesNothing(t, CBOR[int]{}, 1_000_000)
	allocatesNothing(t, CBOR[uint8]{}, 200)
	allocatesNothing(t, CBOR[level]{}, -100)
	allocatesNothing(t, CBOR[bool]{}, true)
	allocatesNothing(t, CBOR[float32]{}, 1.5)
	allocatesNothing(t, CBOR[float64]{}, math.Pi)
	allocatesNothing(t, CBOR[time.Duration]{}, time.Hour)
	allocatesNothing(t, CBOR[string]{}, "the same string again")
	allocatesNothing(t, CBOR[[]byte]{}, make([]byte, 1000))
	allocatesNothing(t, CBOR[blob]{}, make([]byte, 1000))
	allocatesNothing(t, Raw{}, make([]byte, 1000))
	allocatesNothing(t, Binary[coordinates]{}, coordinates{1, 2})
	allocatesNothing(t, Binary[*coordinates]{}, &coordinates{1, 2})
	allocatesNothing(t, CBOR[[]int]{}, []int{1, 2, 3})
	allocatesNothing(t, CBOR[struct{ A, B int }]{}, struct{ A, B int }{1, 2})

	var s string
	msg := [2][]byte{append([]byte{0x78, 30}, strings.Repeat("a", 30)...), append([]byte{0x78, 30}, strings.Repeat("b", 30)...)}
	i := 0
	if n := testing.AllocsPerRun(100, func() { i++; _ = CBOR[string]{}.Decode(msg[i%2], &s) }); n != 1 {
		t.Errorf("a changed string: %v allocations, want its own", n)
	}
}

// allocatesNothing wants that v, once it has been sent, costs no allocation to be sent and received again.
func allocatesNothing[T any](t *testing.T, c Codec[T], v T) {
	t.Helper()
	dst := make([]byte, 0, 2048)
	var into T
	var err error
	if n := testing.AllocsPerRun(100, func() { dst, err = c.Append(dst[:0], v) }); n != 0 || err != nil {
		t.Errorf("%T: Append allocates %v times, %v", c, n, err)
	}
	if n := testing.AllocsPerRun(100, func() { err = c.Decode(dst, &into) }); n != 0 || err != nil {
		t.Errorf("%T: Decode allocates %v times, %v", c, n, err)
	}
	if !reflect.DeepEqual(into, v) {
		t.Errorf("%T: got %v, want %v", c, into, v)
	}
}
