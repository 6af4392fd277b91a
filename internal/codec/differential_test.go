package codec

import (
	"bytes"
	"encoding"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// library is fxamacker/cbor as a user would set it up to keep what gipc keeps.
var library = must(cbor.EncOptions{
	Time: cbor.TimeRFC3339Nano, TimeTag: cbor.EncTagRequired, NaNConvert: cbor.NaNConvertNone, InfConvert: cbor.InfConvertNone,
}.EncMode())

// randomTypes is how many types there are. They stay in memory.
const randomTypes = 1 << 12

// FuzzValues sends a random value of a random type. It must be refused before that, or arrive as it was put, into a new value
// and into a used one.
func FuzzValues(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 600 {
		choices := make([]byte, 1+r.IntN(80))
		for j := range choices {
			choices[j] = byte(r.Uint32())
		}
		f.Add(uint16(r.Uint32()), choices)
	}
	f.Fuzz(arrivesOrIsRefused)
}

func arrivesOrIsRefused(t *testing.T, number uint16, choices []byte) {
	typ := randomType(rand.New(rand.NewPCG(uint64(number%randomTypes), 0)), 4)
	if anyCBOR.Check(typ) != nil {
		return
	}
	s := source{choices}
	put, used := reflect.New(typ), reflect.New(typ)
	s.fill(put.Elem(), 6)
	s.fill(used.Elem(), 6)
	msg, err := Append(nil, put.Interface())
	if err != nil {
		t.Fatalf("%v: %+v was not refused at construction: %v", typ, put.Elem(), err)
	}
	asLibrary(t, put, msg)
	for name, into := range map[string]reflect.Value{"new": reflect.New(typ), "used": used} {
		if err := Decode(msg, into.Interface()); err != nil {
			t.Fatalf("%v: %x into a %s value: %v", typ, msg, name, err)
		}
		if diff := differs(put.Elem(), into.Elem(), "value"); diff != "" {
			t.Errorf("%v: %x into a %s value: %s", typ, msg, name, diff)
		}
	}
}

// asLibrary compares with the bytes that the library writes by itself, where gipc's are not meant to be others.
func asLibrary(t *testing.T, put reflect.Value, msg []byte) {
	var l look
	if shapeOf(put.Type()).facts&texts != 0 || l.value(put, 0) != nil || l.oddTime {
		return
	}
	want, err := library.Marshal(put.Interface())
	if err != nil || len(want) != len(msg) || !bytes.Equal(sorted(want), sorted(msg)) { // maps come in any order
		t.Errorf("%v: got %x, the library gives %x, %v", put.Type(), msg, want, err)
	}
}

func sorted(b []byte) []byte {
	b = slices.Clone(b)
	slices.Sort(b)
	return b
}

// differs says where got is not what must arrive for put, as the comment of CBOR in package gipc has it, or nothing.
func differs(put, got reflect.Value, at string) string {
	wrong := func() string { return fmt.Sprintf("%s: put %+v, got %+v", at, put, got) }
	if put.Kind() != reflect.Interface && isNull(put) {
		if !got.IsZero() {
			return wrong()
		}
		return ""
	}
	if put.CanAddr() && put.CanInterface() {
		if same, is := ownEqual(put.Addr().Interface(), got); is {
			if !same {
				return wrong()
			}
			return ""
		}
	}
	switch put.Kind() {
	case reflect.Pointer:
		if got.IsNil() {
			return wrong()
		}
		return differs(put.Elem(), got.Elem(), at)
	case reflect.Interface:
		if want := arriving(put.Interface()); !sameAny(want, got.Interface()) {
			return fmt.Sprintf("%s: put %#v, got %#v, want %#v", at, put, got, want)
		}
	case reflect.Slice, reflect.Array:
		if put.Kind() == reflect.Slice && got.IsNil() || put.Len() != got.Len() {
			return wrong()
		}
		for i := range put.Len() {
			if diff := differs(put.Index(i), got.Index(i), fmt.Sprintf("%s[%d]", at, i)); diff != "" {
				return diff
			}
		}
	case reflect.Map:
		return mapDiffers(put, got, at)
	case reflect.Struct:
		return structDiffers(put, got, at)
	case reflect.Float32:
		if math.Float32bits(float32(put.Float())) != math.Float32bits(float32(got.Float())) { // a signalling NaN arrives quiet
			return wrong()
		}
	case reflect.Float64:
		if math.Float64bits(put.Float()) != math.Float64bits(got.Float()) {
			return wrong()
		}
	default:
		if !put.Equal(got) {
			return wrong()
		}
	}
	return ""
}

// isNull says whether a value is written as null.
func isNull(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return v.IsNil() || isNull(v.Elem())
	case reflect.Slice, reflect.Map:
		return v.IsNil()
	}
	return v.Type() == timeType && v.Interface().(time.Time).IsZero()
}

// ownEqual compares values of types that are more than their fields.
func ownEqual(put any, got reflect.Value) (same, is bool) {
	switch put := put.(type) {
	case *time.Time:
		_, offset := put.Zone()
		want := put.In(time.FixedZone("", offset-offset%60))
		got := got.Interface().(time.Time)
		return got.Equal(want) && got.Format(time.RFC3339Nano) == want.Format(time.RFC3339Nano), true
	case *big.Int:
		got := got.Interface().(big.Int)
		return put.Cmp(&got) == 0, true
	case *halfSet:
		got := got.Interface().(halfSet)
		return byte(put.A) == byte(got.A) && int(byte(len(put.Items))) == len(got.Items) && got.B == 0, true
	case *ownCBOR:
		return *put == got.Interface().(ownCBOR), true
	case *size:
		return *put == got.Interface().(size), true
	case encoding.TextMarshaler: // netip.Addr and those that go by their text
		return put != nil && text(put) == text(got.Addr().Interface().(encoding.TextMarshaler)), true
	}
	return false, false
}

func text(m encoding.TextMarshaler) string {
	b, err := m.MarshalText()
	return fmt.Sprintf("%q %v", b, err)
}

func mapDiffers(put, got reflect.Value, at string) string {
	if got.IsNil() || put.Len() != got.Len() {
		return fmt.Sprintf("%s: put %+v, got %+v", at, put, got)
	}
	for entry := put.MapRange(); entry.Next(); {
		elem := got.MapIndex(entry.Key())
		if !elem.IsValid() {
			return fmt.Sprintf("%s: the key %+v is missing in %+v", at, entry.Key(), got)
		}
		if diff := differs(addressable(entry.Value()), addressable(elem), fmt.Sprintf("%s[%v]", at, entry.Key())); diff != "" {
			return diff
		}
	}
	return ""
}

func addressable(v reflect.Value) reflect.Value {
	copied := reflect.New(v.Type()).Elem()
	copied.Set(v)
	return copied
}

func structDiffers(put, got reflect.Value, at string) string {
	sent := map[int]field{}
	for _, f := range CBOR.fields(put.Type()) {
		sent[f.index] = f
	}
	for i := range put.NumField() {
		f, is := sent[i]
		tag := CBOR.tag(put.Type().Field(i).Tag)
		omitted := strings.Contains(tag, "omitempty") && isEmpty(put.Field(i)) || strings.Contains(tag, "omitzero") && put.Field(i).IsZero()
		switch {
		case put.Type() == reflect.TypeFor[hidesName]() && i == 0:
			continue // its field is hidden
		case !is || omitted:
			if !got.Field(i).IsZero() {
				return fmt.Sprintf("%s: the field %d was not sent, but is %+v", at, i, got.Field(i))
			}
		case strings.Contains(tag, "toarray"):
		default:
			if diff := differs(put.Field(i), got.Field(i), at+"."+f.name); diff != "" {
				return diff
			}
		}
	}
	return ""
}

// isEmpty is what the tag omitempty leaves out.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	case reflect.Float32, reflect.Float64:
		return v.Float() == 0 // -0 too
	}
	return v.IsZero()
}

// arriving returns what arrives in an any for what was put in one.
func arriving(put any) any {
	switch put := put.(type) {
	case int:
		return int64(put)
	case uint64:
		if put > math.MaxInt64 {
			return new(big.Int).SetUint64(put)
		}
		return int64(put)
	case float32:
		return float64(put)
	case []any:
		return []any{arriving(put[0]), arriving(put[1])}
	case map[any]any:
		m := map[any]any{}
		for key, elem := range put {
			m[arriving(key)] = arriving(elem)
		}
		return m
	case time.Time:
		if put.IsZero() {
			return nil
		}
	case *big.Int:
		if put.IsInt64() {
			return put.Int64()
		}
	case parcel:
		m := map[any]any{"Name": put.Name}
		if put.Size != 0 {
			m["s"] = put.Size
		}
		return m
	case *parcel:
		return arriving(*put)
	case []float32:
		return []any{float64(put[0]), float64(put[1])}
	}
	return put
}

func sameAny(want, got any) bool {
	switch want := want.(type) {
	case time.Time:
		got, is := got.(time.Time)
		return is && got.Equal(want)
	case *big.Int:
		got, is := got.(*big.Int)
		return is && got.Cmp(want) == 0
	case []any:
		got, is := got.([]any)
		return is && slices.EqualFunc(want, got, sameAny)
	case map[any]any:
		got, is := got.(map[any]any)
		for key := range want {
			is = is && sameAny(want[key], got[key])
		}
		return is && len(got) == len(want)
	}
	return reflect.DeepEqual(want, got)
}
