package codec

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

	"github.com/go-gipc/gipc/internal/test"
)

type (
	level  int8
	label  string
	weight float32
	blob   []byte
)

type shipmentBase struct{ ID uint64 }

type parcel struct {
	Name string
	Size int64 `cbor:"s,omitempty" json:"s,omitempty"`
}

type shipment struct {
	shipmentBase
	Level  level
	When   time.Time
	Hash   [4]byte
	Parts  []parcel
	ByName map[string]*parcel
	Parent *shipment
	Any    any
	Tags   map[label]int
	Big    *big.Int
}

func fullShipment() shipment {
	return shipment{
		shipmentBase: shipmentBase{math.MaxUint64}, Level: -7, Hash: [4]byte{1, 2, 3, 4}, Parts: []parcel{{"a", 1}, {"", 0}},
		When:   time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.UTC),
		ByName: map[string]*parcel{"x": {"x", -1}, "none": nil}, Parent: &shipment{Level: 1}, Tags: map[label]int{"t": 1},
		Any: []any{int64(1), "two", 3.5, nil, true}, Big: new(big.Int).Lsh(big.NewInt(-3), 100),
	}
}

func TestAppendAndDecode(t *testing.T) {
	arrives(t, fullShipment())
	arrives(t, &parcel{"p", 2})
	arrives(t, map[parcel][]any{{"a", 1}: {"x"}})
	arrives(t, new(big.Int).Lsh(big.NewInt(1), 8*maxBignumBytes-1))
	arrives(t, []string{"not UTF-8: \xff"})
	arrives[any](t, []any{fullShipment().When, new(big.Int).SetUint64(math.MaxUint64), map[any]any{"a": int64(1)}})
	arrives(t, make([]int8, 300_000))
	many := make(map[int]bool)
	for i := range 150_000 {
		many[i] = true
	}
	arrives(t, many)
}

// arrives wants that v is the same when it has been encoded, behind other bytes, and decoded.
func arrives[T any](t *testing.T, v T) {
	t.Helper()
	msg, err := Append([]byte("keep"), v)
	if err != nil || string(msg[:4]) != "keep" {
		t.Fatalf("%T: %q, %v", v, msg[:min(4, len(msg))], err)
	}
	var got T
	if err := Decode(msg[4:], &got); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("got %+v, %v, want %+v", got, err, v)
	}
}

// TestAppendLeavesDst wants that a value that can't be encoded leaves the bytes before it as they were.
func TestAppendLeavesDst(t *testing.T) {
	ring := &nestedList{}
	ring.Next = ring
	for _, v := range []any{make(chan int), []any{"begun", func() {}}, ring} {
		dst := append(make([]byte, 0, 100), "keep"...)
		if got, err := Append(dst, v); err == nil || string(got) != "keep" {
			t.Errorf("%T: %q, %v", v, got, err)
		}
	}
}

// TestFieldNamesMatchExactly: what another field's name is in small letters is not taken for it.
func TestFieldNamesMatchExactly(t *testing.T) {
	var got parcel
	test.Check(t, Decode([]byte("\xa2\x64name\x61x\x61s\x07"), &got))
	test.Equal(t, got, parcel{Size: 7})
}

// TestPlainAsLibrary compares the encoder for plain values with the library's, byte by byte, and the decoders too.
func TestPlainAsLibrary(t *testing.T) {
	for _, i := range test.EdgeInts {
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
	for _, f := range test.EdgeFloats {
		plainAsLibrary(t, f)
		plainAsLibrary(t, float32(f))
		plainAsLibrary(t, weight(f))
	}
	plainAsLibrary(t, test.SignallingNaN)
	for _, s := range test.EdgeStrings {
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
	if !IsPlain[T]() {
		t.Fatalf("%T is not plain", v)
	}
	want, err := usual().enc.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	got := AppendPlain([]byte("keep"), reflect.ValueOf(&v).Elem())
	if string(got) != "keep"+string(want) {
		t.Errorf("%T %v: got %x, the library gives %x", v, v, got, want)
	}
	decodeAsLibrary(t, want)
	isOwnPlain(t, v, want)
}

// isOwnPlain wants that what gipc writes of a plain value is decoded as plain, except for nil.
func isOwnPlain[T any](t *testing.T, v T, msg []byte) {
	t.Helper()
	var got T
	isNil := len(msg) == 1 && msg[0] == byteNull
	if plain := DecodePlain(msg, reflect.ValueOf(&got).Elem()); plain == isNil {
		t.Errorf("%T %v: decoded as plain: %v", v, v, plain)
	}
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
	var plain, got, want T
	isPlain := DecodePlain(msg, reflect.ValueOf(&plain).Elem())
	gotErr := Decode(msg, &got)
	if checkHeads(msg) != nil { // the library would take far more than linear time
		if isPlain || gotErr == nil {
			t.Errorf("%x into %T was not refused", msg, got)
		}
		return
	}
	wantErr := usual().dec.Unmarshal(msg, &want)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Errorf("%x into %T: error %v, the library's %v", msg, got, gotErr, wantErr)
	}
	if isPlain && wantErr != nil {
		t.Errorf("%x into %T: decoded as plain to %v, the library's error is %v", msg, got, plain, wantErr)
	}
	if wantErr != nil {
		return
	}
	wantMsg, _ := usual().enc.Marshal(want)
	if gotMsg, _ := usual().enc.Marshal(got); !bytes.Equal(gotMsg, wantMsg) {
		t.Errorf("%x into %T: got %v, the library gives %v", msg, got, got, want)
	}
	if plainMsg, _ := usual().enc.Marshal(plain); isPlain && !bytes.Equal(plainMsg, wantMsg) && fmt.Sprint(plain) != "NaN" {
		t.Errorf("%x into %T: as plain %v, the library gives %v", msg, got, plain, want)
	}
}

// hostileMessages are not what gipc writes. Each must be refused, or decoded, fast and in little memory.
var hostileMessages = map[string][]byte{
	"empty":             {},
	"break":             {0xff},
	"reserved":          {0x1c},
	"reserved, 16 more": append([]byte{0x1c}, make([]byte, 16)...),
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
	if allocated := test.Allocates(limit, func() {
		if err := Decode(msg, &v); err == nil {
			t.Errorf("%T: decoded to %v, want an error", v, v)
		}
		if IsPlain[T]() && DecodePlain(msg, reflect.ValueOf(&v).Elem()) {
			t.Errorf("%T: decoded as plain to %v", v, v)
		}
	}); allocated > limit {
		t.Errorf("%T: allocated %d bytes for a message of %d", v, allocated, len(msg))
	}
}

// TestLimitsAreExact: at its limit a message is decoded, one above it is refused before anything is decoded.
func TestLimitsAreExact(t *testing.T) {
	integer := func(tag byte, size int) []byte {
		return append([]byte{tag, 0x5a, 0, byte(size >> 16), byte(size >> 8), byte(size)}, bytes.Repeat([]byte{1}, size)...)
	}
	tags := func(n int) []byte { return append(bytes.Repeat([]byte{0xd8, 100}, n), 0) }
	var v any
	for _, tag := range []byte{0xc2, 0xc3} { // positive and negative
		test.Check(t, Decode(integer(tag, maxBignumBytes), &v))
		test.Says(t, Decode(integer(tag, maxBignumBytes+1), &v), "an integer of 65537 bytes is above the limit of 65536")
	}
	test.Check(t, Decode(tags(maxTags), &v))
	test.Check(t, Decode(append([]byte{0x82}, append(tags(maxTags), tags(maxTags)...)...), &v)) // of one item each
	v = "old"
	test.Says(t, Decode(tags(maxTags+1), &v), "more than 16 CBOR tags around one item")
	test.Says(t, Decode(append([]byte{0x82, 0}, tags(maxTags+1)...), &v), "CBOR tags")
	test.Equal(t, v, any("old"))
	// Bytes that no tag makes an integer may be of any length, and what is in them is not looked at.
	test.Check(t, Decode(append([]byte{0x5a, 0, 2, 0, 0}, bytes.Repeat([]byte{0xc6}, 128<<10)...), &v))
}

// TestPlainKinds: which types the plain codec is for.
func TestPlainKinds(t *testing.T) {
	if !IsPlain[level]() || !IsPlain[blob]() || !IsPlain[time.Duration]() {
		t.Error("a name makes a type not plain")
	}
	if IsPlain[[]int]() || IsPlain[[2]byte]() || IsPlain[any]() || IsPlain[*int]() || IsPlain[parcel]() || IsPlain[uintptr]() {
		t.Error("what is more than a head and bytes counts as plain")
	}
	if IsPlain[cbor.RawMessage]() || IsPlain[cbor.ByteString]() || IsPlain[shouted]() {
		t.Error("a type with its own encoding counts as plain")
	}
	msg, err := Append(nil, shouted("a"))
	test.Check(t, err)
	test.Bytes(t, msg, []byte{0x42, 'A', '!'})
}

type shouted string

func (s shouted) MarshalBinary() ([]byte, error) {
	return []byte(strings.ToUpper(string(s)) + "!"), nil
}

// TestPlainDecodesIntoUsed: a used value is replaced, and the memory of bytes is used again.
func TestPlainDecodesIntoUsed(t *testing.T) {
	text, b := "old", make(blob, 3, 10)
	before := &b[0]
	if !DecodePlain([]byte{0x61, 'x'}, reflect.ValueOf(&text).Elem()) || text != "x" {
		t.Errorf("got %q", text)
	}
	if !DecodePlain([]byte{0x42, 7, 8}, reflect.ValueOf(&b).Elem()) || !bytes.Equal(b, []byte{7, 8}) || &b[0] != before {
		t.Errorf("got %v, in other memory: %v", b, &b[0] != before)
	}
	var none []byte
	if !DecodePlain([]byte{0x40}, reflect.ValueOf(&none).Elem()) || none == nil {
		t.Error("empty bytes were decoded to nil")
	}
}
