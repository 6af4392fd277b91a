package gipc

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/codec"
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
	Name   string
	Level  level
	Ratio  float64
	Ok     bool
	When   time.Time
	Data   []byte
	Hash   [4]byte
	Parts  []parcel
	ByName map[string]*parcel
	Parent *shipment
	Any    any
	Tags   map[label]int
	Big    *big.Int
	//lint:ignore U1000 it must stay behind
	private int
}

// coordinates has its own binary encoding.
type coordinates struct{ X, Y int32 }

func (p coordinates) AppendBinary(dst []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, uint32(p.X)), uint32(p.Y)), nil
}

func (p *coordinates) UnmarshalBinary(src []byte) error {
	if len(src) != 8 {
		return errors.New("coordinates have 8 bytes")
	}
	p.X, p.Y = int32(binary.BigEndian.Uint32(src)), int32(binary.BigEndian.Uint32(src[4:]))
	return nil
}

var (
	_ encoding.BinaryAppender    = coordinates{}
	_ encoding.BinaryUnmarshaler = (*coordinates)(nil)
)

// exactTime has nanoseconds and an offset that are easily lost.
var exactTime = time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.FixedZone("", -3*3600-1800))

func fullShipment() shipment {
	return shipment{
		shipmentBase: shipmentBase{math.MaxUint64}, Name: "naïve \U0001F600", Level: -7, Ratio: math.Pi, Ok: true, When: exactTime,
		Data: []byte{0, 1, 255}, Hash: [4]byte{1, 2, 3, 4}, Parts: []parcel{{"a", 1}, {"", 0}},
		ByName: map[string]*parcel{"x": {"x", -1}, "none": nil}, Parent: &shipment{Name: "parent"}, Tags: map[label]int{"t": 1},
		Any: []any{int64(1), "two", 3.5, nil, true}, Big: new(big.Int).Lsh(big.NewInt(-3), 100),
	}
}

// roundTrip encodes v, decodes it into a zero value, and wants want.
func roundTrip[T any](c Codec[T], v, want T) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		const prefix = "keep"
		msg, err := c.Append([]byte(prefix), v)
		if err != nil {
			t.Fatalf("Append(%#v): %v", v, err)
		}
		if string(msg[:len(prefix)]) != prefix {
			t.Fatalf("Append changed what dst held: %q", msg[:len(prefix)])
		}
		msg = msg[len(prefix):]
		exact, err := c.Append(make([]byte, 0, len(msg)), v) // the buffer has room: nothing may be lost either way
		if err != nil || len(exact) != len(msg) {
			t.Fatalf("Append into a buffer with room: %d bytes, %v; want %d", len(exact), err, len(msg))
		}
		var got T
		if err := c.Decode(msg, &got); err != nil {
			t.Fatalf("Decode(%x): %v", msg, err)
		}
		for i := range msg {
			msg[i] ^= 0xff // src is the caller's again
		}
		if !same(got, want) {
			t.Errorf("got %#v, want %#v", got, want)
		}
	}
}

// same is DeepEqual for which a time is its instant and offset, and a NaN is a NaN of the same bits.
func same(a, b any) bool {
	switch a := a.(type) {
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Equal(b) && a.Format(time.RFC3339Nano) == b.Format(time.RFC3339Nano)
	case float32:
		b, ok := b.(float32)
		return ok && math.Float32bits(a) == math.Float32bits(b)
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case shipment:
		b, ok := b.(shipment)
		if !ok || !same(a.When, b.When) {
			return false
		}
		a.When, b.When = time.Time{}, time.Time{}
		return reflect.DeepEqual(a, b)
	}
	return reflect.DeepEqual(a, b)
}

// both runs a round trip through CBOR and JSON.
func both[T any](t *testing.T, name string, v T) {
	t.Helper()
	t.Run("cbor/"+name, roundTrip(CBOR[T]{}, v, v))
	t.Run("json/"+name, roundTrip(JSON[T]{}, v, v))
}

func onlyCBOR[T any](t *testing.T, name string, v, want T) {
	t.Helper()
	t.Run("cbor/"+name, roundTrip(CBOR[T]{}, v, want))
}

func TestRoundTrip(t *testing.T) {
	for _, i := range test.EdgeInts {
		both(t, fmt.Sprint("int64/", i), i)
		both(t, fmt.Sprint("uint64/", uint64(i)), uint64(i))
		both(t, fmt.Sprint("level/", i), level(i))
		both(t, fmt.Sprint("uint16/", i), uint16(i))
	}
	for _, s := range test.EdgeStrings {
		onlyCBOR(t, fmt.Sprintf("string/%d", len(s)), s, s)
		onlyCBOR(t, fmt.Sprintf("label/%d", len(s)), label(s), label(s))
		both(t, fmt.Sprintf("bytes/%d", len(s)), []byte(s))
		t.Run("raw", roundTrip(Raw{}, []byte(s), []byte(s)))
	}
	for _, f := range test.EdgeFloats {
		onlyCBOR(t, fmt.Sprint("float64/", f), f, f)
		onlyCBOR(t, fmt.Sprint("float32/", f), float32(f), float32(f))
	}
	both(t, "bool", true)
	both(t, "duration", 3*time.Second)
	both(t, "html", "<b>&amp;</b>\u2028")
	both(t, "weight", weight(1.5))
	both(t, "time", exactTime)
	both(t, "zero time", time.Time{})
	both(t, "year 9999", time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC))
	both(t, "addr", netip.MustParseAddr("fe80::1%eth0"))
	both(t, "struct", fullShipment().Parts[0])
	both(t, "empty struct", struct{}{})
	both(t, "pointer", &parcel{"p", 2})
	both(t, "nil pointer", (*parcel)(nil))
	both(t, "nil slice", []int(nil))
	both(t, "empty slice", []int{})
	both(t, "nil map", map[string]int(nil))
	both(t, "empty map", map[string]int{})
	both(t, "nil bytes", []byte(nil))
	both(t, "blob", blob("abc"))
	both(t, "map", map[int][]string{-1: {"a"}, 2: nil, 3: {}})
	both(t, "nested slices", [][]parcel{{{"a", 1}}, nil, {}})
	both(t, "array", [3]time.Duration{1, 2, 3})
	both(t, "large string", strings.Repeat("x", 1<<20))
	both(t, "large slice", make([]int, 300_000))
	onlyCBOR(t, "job", fullShipment(), fullShipment())
	onlyCBOR(t, "zero job", shipment{}, shipment{})
	onlyCBOR(t, "struct key", map[parcel]bool{{"a", 1}: true}, map[parcel]bool{{"a", 1}: true})
	onlyCBOR(t, "big", *new(big.Int).Lsh(big.NewInt(1), 8*64<<10-1), *new(big.Int).Lsh(big.NewInt(1), 8*64<<10-1))
	t.Run("raw/nil", roundTrip(Raw{}, nil, []byte{}))
	t.Run("binary/value", roundTrip(Binary[coordinates]{}, coordinates{-1, math.MaxInt32}, coordinates{-1, math.MaxInt32}))
	t.Run("binary/pointer", roundTrip(Binary[*coordinates]{}, &coordinates{1, 2}, &coordinates{1, 2}))
}

// TestAny fixes what Go types an `any` arrives with.
func TestAny(t *testing.T) {
	for _, test := range []struct{ put, cbor, json any }{
		{nil, nil, nil},
		{7, int64(7), float64(7)},
		{uint8(7), int64(7), float64(7)},
		{-7, int64(-7), float64(-7)},
		{uint64(math.MaxUint64), new(big.Int).SetUint64(math.MaxUint64), float64(math.MaxUint64)},
		{float32(1.5), 1.5, 1.5},
		{"s", "s", "s"},
		{[]byte{1}, []byte{1}, "AQ=="},
		{[2]byte{1, 2}, []byte{1, 2}, []any{1., 2.}},
		{[]int{1}, []any{int64(1)}, []any{1.}},
		{map[string]int{"a": 1}, map[any]any{"a": int64(1)}, map[string]any{"a": 1.}},
		{parcel{"a", 0}, map[any]any{"Name": "a"}, map[string]any{"Name": "a"}},
		{exactTime, exactTime, exactTime.Format(time.RFC3339Nano)},
		{time.Time{}, nil, "0001-01-01T00:00:00Z"},
	} {
		t.Run(fmt.Sprintf("%T", test.put), func(t *testing.T) {
			roundTrip(CBOR[any]{}, test.put, test.cbor)(t)
			roundTrip(JSON[any]{}, test.put, test.json)(t)
		})
	}
}

// TestDecodeIntoUsed wants that nothing of an earlier value shows in the next one, and that its memory is reused.
func TestDecodeIntoUsed(t *testing.T) {
	type message struct {
		When   time.Time
		Items  []parcel
		ByName map[string]parcel
		Next   *parcel
		Any    any
		Text   string `cbor:",omitempty" json:",omitempty"`
		Local  int    `cbor:"-" json:"-"`
	}
	first := message{exactTime, []parcel{{"a", 1}, {"b", 2}}, map[string]parcel{"a": {"a", 1}}, &parcel{"n", 1}, 1, "text", 0}
	second := message{Items: []parcel{{"c", 0}}, ByName: map[string]parcel{}}
	for _, c := range []Codec[message]{CBOR[message]{}, JSON[message]{}} {
		t.Run(c.Name(), func(t *testing.T) {
			var v message
			mustDecode(t, c, first, &v)
			items, next := v.Items, v.Next
			mustDecode(t, c, second, &v)
			if !reflect.DeepEqual(v, second) {
				t.Errorf("got %+v, want %+v", v, second)
			}
			if &items[0] != &v.Items[0] {
				t.Error("the slice's memory was not reused")
			}
			if next.Name != "n" {
				t.Error("a pointer from the first message points to something else now")
			}
			v = first
			v.Items = slices.Clone(first.Items)[:0] // as some do before they use a slice again
			mustDecode(t, c, second, &v)
			if !reflect.DeepEqual(v, second) {
				t.Errorf("after the slice was shortened: got %+v, want %+v", v, second)
			}
		})
	}
	n := 5
	if err := (CBOR[int]{}).Decode([]byte{0xf6}, &n); err != nil || n != 0 {
		t.Errorf("null into an int: %d, %v; want 0", n, err)
	}
	x := 5.5
	if err := (CBOR[float64]{}).Decode([]byte{7}, &x); err != nil || x != 7 {
		t.Errorf("7 into a float64: %v, %v", x, err)
	}
	p := &coordinates{1, 1}
	before := p
	mustDecode(t, Codec[*coordinates](Binary[*coordinates]{}), &coordinates{2, 3}, &p)
	if p != before || *p != (coordinates{2, 3}) {
		t.Errorf("got %v in other memory, want 2,3 in the same", *p)
	}
}

func mustDecode[T any](t *testing.T, c Codec[T], v T, into *T) {
	t.Helper()
	msg, err := c.Append(nil, v)
	if err == nil {
		err = c.Decode(msg, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDecodeKeepsNothingOfSource decodes, overwrites the source, and looks whether the value noticed.
func TestDecodeKeepsNothingOfSource(t *testing.T) {
	aliasFree(t, CBOR[string]{}, "text")
	aliasFree(t, CBOR[[]byte]{}, []byte("bytes"))
	aliasFree(t, CBOR[shipment]{}, fullShipment())
	aliasFree[any](t, CBOR[any]{}, []any{"text", []byte("bytes"), map[any]any{"k": []byte("v")}})
	aliasFree(t, JSON[[]byte]{}, []byte("bytes"))
	aliasFree(t, Raw{}, []byte("bytes"))
}

func aliasFree[T any](t *testing.T, c Codec[T], v T) {
	t.Helper()
	msg, err := c.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	var got T
	if err := c.Decode(msg, &got); err != nil {
		t.Fatal(err)
	}
	clear(msg)
	if !same(got, v) {
		t.Errorf("%s: the value changed with its source: %v", c.Name(), got)
	}
}

// TestUntypedCBOR wants that the arguments of a child are encoded as messages of a type are.
func TestUntypedCBOR(t *testing.T) {
	msg, err := codec.Append([]byte("keep"), fullShipment())
	if err != nil {
		t.Fatal(err)
	}
	typed, err := CBOR[shipment]{}.Append([]byte("keep"), fullShipment())
	if err != nil || len(msg) != len(typed) { // maps come in any order
		t.Errorf("got %x, want %x", msg, typed)
	}
	var v shipment
	if err := codec.Decode(msg[len("keep"):], &v); err != nil || !same(v, fullShipment()) {
		t.Errorf("got %+v, %v", v, err)
	}
}

// TestSignallingNaN wants that it arrives with all its bits.
func TestSignallingNaN(t *testing.T) {
	msg, err := CBOR[float32]{}.Append(nil, test.SignallingNaN)
	test.Check(t, err)
	test.Bytes(t, msg, []byte{0xfa, 0x7f, 0xa0, 0, 1})
	var x float32
	test.Check(t, CBOR[float32]{}.Decode(msg, &x))
	test.Equal(t, math.Float32bits(x), 0x7fa00001)
}

// TestPlainLeavesMethods wants that a type's own methods are called, whatever its kind.
func TestPlainLeavesMethods(t *testing.T) {
	msg, err := CBOR[shouted]{}.Append(nil, "a")
	if want := []byte{0x42, 'A', '!'}; err != nil || !bytes.Equal(msg, want) {
		t.Errorf("got %x, %v; want %x", msg, err, want)
	}
}

type shouted string

func (s shouted) MarshalBinary() ([]byte, error) {
	return []byte(strings.ToUpper(string(s)) + "!"), nil
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	test.Says(t, err, want)
}
