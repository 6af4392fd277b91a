package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/go-gipc/gipc/internal/test"
)

// Values that the library alone would change, lose, or write so that nobody can read them.

// TestTimeKeepsItsInstant: the text of a time has no seconds in its offset.
func TestTimeKeepsItsInstant(t *testing.T) {
	type Stamp struct{ When time.Time }
	type record struct {
		Stamp
		Name   string
		Times  []time.Time
		Array  [1]*time.Time
		ByTime map[time.Time]map[string]time.Time
		Any    any
		Next   *record
	}
	instant := time.Date(1930, 1, 2, 3, 4, 5, 6, time.UTC)
	even := instant.In(time.FixedZone("", -3600))
	for _, offset := range []int{1172, -1172, 3630, 59, -59, 86399} {
		odd := instant.In(time.FixedZone("odd", offset))
		whole := odd.In(time.FixedZone("", offset-offset%60))
		put := record{
			Stamp{odd}, "n", []time.Time{even, odd}, [1]*time.Time{&odd}, map[time.Time]map[string]time.Time{odd: {"a": odd}},
			[]any{odd, &odd, map[any]any{"a": odd}}, &record{Stamp: Stamp{odd}},
		}
		got := sentAs(t, &put)
		want := record{
			Stamp{whole}, "n", []time.Time{even, whole}, [1]*time.Time{&whole}, map[time.Time]map[string]time.Time{whole: {"a": whole}},
			[]any{whole, whole, map[any]any{"a": whole}}, &record{Stamp: Stamp{whole}},
		}
		shown := func(r record) string {
			return strings.ReplaceAll(fmt.Sprint(r.Times, r.Any), "+0000 +0000", "+0000 UTC")
		}
		if shown(got) != shown(want) || !got.When.Equal(instant) ||
			!got.Next.When.Equal(instant) || !got.Array[0].Equal(instant) {
			t.Errorf("offset %d: got %v, want %v", offset, got, want)
		}
		for key, inner := range got.ByTime {
			if !key.Equal(instant) || !inner["a"].Equal(instant) {
				t.Errorf("offset %d: in a map: %v", offset, got.ByTime)
			}
		}
		if put.When != odd || put.Times[1] != odd || put.Array[0] != &odd || put.Next.When != odd {
			t.Errorf("offset %d: what was put has changed: %v", offset, put)
		}
		if got := sentAs(t, &odd); !got.Equal(instant) || got.Format(time.RFC3339Nano) != whole.Format(time.RFC3339Nano) {
			t.Errorf("alone: got %v, want %v", got, whole)
		}
	}
}

// sentAs encodes what v points to as a channel does, and decodes it.
func sentAs[T any](t *testing.T, v *T) (got T) {
	t.Helper()
	msg, err := Append(nil, v)
	test.Check(t, err)
	test.Check(t, Decode(msg, &got))
	return got
}

// TestSignallingNaN: reflection would make a quiet one of it.
func TestSignallingNaN(t *testing.T) {
	for _, bits := range []uint32{0x7f800001, 0xff800001, 0x7fbfffff, 0x7fc00001} {
		v := math.Float32frombits(bits)
		msg := AppendPlain(nil, reflect.ValueOf(&v).Elem())
		var got float32
		if !DecodePlain(msg, reflect.ValueOf(&got).Elem()) || math.Float32bits(got) != bits {
			t.Errorf("%x arrives as %x", bits, math.Float32bits(got))
		}
	}
}

type (
	Left  struct{ X int }
	Right struct{ X int }
	Above struct{ Left }
	Aside struct{ Left }
)

// TestFieldsOfOneName: a type of which a field would vanish is refused, and the error names both.
func TestFieldsOfOneName(t *testing.T) {
	const both = "its fields %s and %s are both called %s in a message"
	says := func(a, b, name string) string { return fmt.Sprintf(both, a, b, name) }
	accepts[struct {
		A int `cbor:"x"`
		B int `json:"x"`
	}](t, says("A", "B", `"x"`), fine)
	accepts[struct {
		A int `cbor:"B"`
		B int
	}](t, says("A", "B", `"B"`), fine)
	accepts[struct {
		A int `json:"B,omitempty"`
		B int
		C int
	}](t, says("A", "B", `"B"`), says("A", "B", `"B"`))
	accepts[[]struct {
		Left
		Right
		Y int
	}](t, says("Left.X", "Right.X", `"X"`), says("Left.X", "Right.X", `"X"`))
	accepts[struct {
		Above
		Aside
	}](t, says("Above.Left.X", "Aside.Left.X", `"X"`), says("Above.Left.X", "Aside.Left.X", `"X"`))
	accepts[struct {
		A int `cbor:"01,keyasint"`
		B int `cbor:"1,keyasint"`
	}](t, says("A", "B", "the integer 1"), fine)
	accepts[struct {
		Left
		Right
		X int // hides both
	}](t, fine, fine)
	accepts[struct {
		Left
		*Right `cbor:"r" json:"r"`
	}](t, fine, fine)
	accepts[struct {
		A int `cbor:"1,keyasint"`
		B int `cbor:"1" json:"b"`
	}](t, fine, fine)
	noName := reflect.StructOf([]reflect.StructField{ // encoding/json takes no such name from a tag
		{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"x'"`}, {Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"A"`},
	})
	test.Check(t, anyCBOR.Check(noName))
	test.Says(t, anyJSON.Check(noName), says("A", "B", `"A"`))
}

// TestWhatWouldNotDecode is refused when it is encoded.
func TestWhatWouldNotDecode(t *testing.T) {
	tagged := func(n int, v any) any {
		for i := range n {
			v = cbor.Tag{Number: 1000 + uint64(i), Content: v}
		}
		return v
	}
	nested := func(n int, v any) any {
		for range n {
			v = []any{v}
		}
		return v
	}
	raw := cbor.RawMessage(append(bytes.Repeat([]byte{0xd8, 100}, 9), 0))
	big8 := func(bytes int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(8*bytes-1)) }
	for name, put := range map[string]any{
		"17 tags":              tagged(17, "x"),
		"17 tags inside":       []any{1, map[string]any{"a": tagged(17, "x")}},
		"tags of two kinds":    tagged(8, raw),
		"deep, then tags":      nested(maxNesting-1, tagged(3, "x")),
		"deep, then raw":       nested(maxNesting, raw),
		"large integer":        big8(maxBignumBytes + 1),
		"large integer in any": []any{big8(maxBignumBytes + 1)},
		"large negative":       new(big.Int).Not(big8(maxBignumBytes + 1)),
		"many large integers":  slices9(big8(maxBignumBytes)),
		"only unexported":      []any{errors.New("text")},
		"one name": []any{struct{ A, B int }{}, struct {
			Above
			Aside
		}{}},
		"goes by text, untyped": []any{big.NewRat(1, 2)},
		"two keys are one":      map[any]int{1: 1, uint8(1): 2},
		"two floats are one":    []any{map[any]int{1.5: 1, float32(1.5): 2}},
		"array as a key":        map[any]int{[1]int{1}: 1},
		"struct as a key":       map[any]int{Left{1}: 1, "a": 2},
	} {
		if msg, err := Append(nil, put); err == nil {
			var got any
			t.Errorf("%s: encoded to %d bytes, which decode with error %v", name, len(msg), Decode(msg, &got))
		}
	}
	for name, put := range map[string]any{
		"tag of a time":      cbor.Tag{Number: 0, Content: "2024-01-02T03:04:05Z"},
		"tag of an integer":  cbor.Tag{Number: 3, Content: []byte{1, 2}},
		"16 tags":            tagged(16, "x"),
		"deep, then a tag":   nested(maxNesting-2, tagged(1, "x")),
		"deep, then integer": nested(maxNesting, big8(100)),
		"deep, then time":    nested(maxNesting, time.Unix(1, 0)),
		"largest integer":    big8(maxBignumBytes),
		"largest negative":   new(big.Int).Not(big8(maxBignumBytes)),
		"all large integers": slices9(big8(maxBignumBytes))[1:],
		"keys of two types":  map[any]int{1: 1, "1": 2, 1.5: 3, true: 4, nil: 5},
		"small integers":     []any{big8(1024), big8(9), big8(8), big.NewInt(0)},
	} {
		msg, err := Append(nil, put)
		var got any
		if err == nil {
			err = Decode(msg, &got)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTagAroundItself: a tag counts as no level, but there can't be many around an item.
func TestTagAroundItself(t *testing.T) {
	tag := &cbor.Tag{Number: 1}
	tag.Content = tag
	_, err := Append(nil, tag)
	test.Says(t, err, "more than 16 CBOR tags around one item")
	tag.Number, tag.Content = 100, []any{tag}
	_, err = Append(nil, tag)
	test.Says(t, err, "contains itself")
}

func slices9(i *big.Int) (nine []*big.Int) {
	for range 9 {
		nine = append(nine, i)
	}
	return nine
}

// TestIntegersCostLittle: an integer that doesn't fit its place is printed by the library, which takes more than linear time.
// So a message of large ones is refused before that, and one of all the rest that there may be takes not much longer than one
// of as many bytes that decodes.
func TestIntegersCostLittle(t *testing.T) {
	integers := func(size, n int) []byte {
		one := append([]byte{0xc2, 0x59, byte(size >> 8), byte(size)}, bytes.Repeat([]byte{0xff}, size)...)
		return append([]byte{0x99, byte(n >> 8), byte(n)}, bytes.Repeat(one, n)...)
	}
	var ints []int
	var bigs []*big.Int
	const refused = "the integers of more than 1024 bytes have more than 524288 in all"
	test.Says(t, Decode(integers(65535, 9), &ints), refused)
	test.Says(t, Decode(integers(65535, 9), &bigs), refused)
	test.Says(t, Decode(integers(1025, 512), &ints), refused)
	test.Check(t, Decode(integers(65535, 8), &bigs))
	test.Check(t, Decode(integers(1024, 4000), &bigs))

	honest := make([]int8, 4<<20)
	msg, err := Append(nil, honest)
	test.Check(t, err)
	took := func(msg []byte) time.Duration {
		start := time.Now()
		_ = Decode(msg, &ints)
		return time.Since(start)
	}
	base := took(msg)
	for _, hostile := range [][]byte{integers(65535, 8), integers(1024, 4080)} {
		if cost := took(hostile); cost > 20*base {
			t.Errorf("%d bytes cost %v, as many that decode %v", len(hostile), cost, base)
		} else {
			t.Logf("%d bytes: %v, honest: %v", len(hostile), cost, base)
		}
	}
}

// textual is a type of the kind that goes by its text.
type textual struct{ text string }

func (v textual) MarshalText() ([]byte, error) { return []byte("<" + v.text + ">"), nil }
func (v *textual) UnmarshalText(text []byte) error {
	v.text = string(text[1 : len(text)-1])
	return nil
}

// size has fields that travel, and a text.
type size struct{ W, H int }

func (s size) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%dx%d", s.W, s.H), nil }
func (s *size) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%dx%d", &s.W, &s.H)
	return err
}

func TestTextMarshalers(t *testing.T) {
	type holder struct {
		Rat     big.Rat
		Pattern *regexp.Regexp
		None    *regexp.Regexp
		Own     []textual
		ByOwn   map[textual]int
	}
	accepts[holder](t, fine, fine)
	put := holder{*big.NewRat(-1, 3), regexp.MustCompile("a+"), nil, []textual{{"x"}, {}}, map[textual]int{{"k"}: 1}}
	got := sentAs(t, &put)
	if got.Rat.Cmp(&put.Rat) != 0 || got.Pattern.String() != "a+" || got.None != nil || !reflect.DeepEqual(got.Own, put.Own) ||
		!reflect.DeepEqual(got.ByOwn, put.ByOwn) {
		t.Errorf("got %v", got)
	}
	msg, err := Append(nil, &textual{"x"})
	test.Check(t, err)
	test.Bytes(t, msg, []byte("\x63<x>"))
	// What travelled before does so as before.
	msg, err = Append(nil, &size{1, 2})
	test.Check(t, err)
	test.Bytes(t, msg, []byte("\xa2\x61W\x01\x61H\x02"))
	accepts[struct {
		A textual
		B halfJSON
	}](t, "it has the method of encoding.TextMarshaler, but not that of encoding.TextUnmarshaler", "it has the method of")
	accepts[struct {
		A textual
		B onlyFromText
	}](t, "it has the method of encoding.TextUnmarshaler, which would get its text, but not", fine)
	accepts[onlyFromText](t, fine, fine) // where nothing goes by its text
}

// onlyFromText is written as the string that it is.
type onlyFromText string

func (v *onlyFromText) UnmarshalText(text []byte) error { *v = onlyFromText(text) + "!"; return nil }
