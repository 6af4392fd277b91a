package gipc

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// CBOR is the default codec: RFC 8949, as github.com/fxamacker/cbor writes it. Field names come from
// `cbor` struct tags, else from `json` tags, else from Go, and must match exactly.
//
// A value arrives as it was put, with these exceptions: unexported fields stay behind; a time keeps its nanoseconds
// and its offset, but neither its zone's name nor its monotonic reading, and can't lie outside the years 0 to 9999;
// pointers to one variable become pointers to copies. In an `any`, integers arrive as int64, or *[big.Int] above
// it, floats as float64, slices as []any, maps as map[any]any, structs as maps too, [time.Time] as itself,
// a zero time as nil. Strings need not be UTF-8, and a nil slice or map stays nil.
//
// A type's own MarshalCBOR or MarshalBinary is used, with the UnmarshalCBOR or UnmarshalBinary beside it. Note that
// a struct that embeds such a type, [time.Time] for one, inherits them, and then nothing but the embedded value is sent.
//
// Refused in both directions: values nested more than 10,000 deep, and so those that contain themselves. Refused in
// messages: duplicate keys in a map, items of indefinite length, more than 16 tags around one item, and integers of more
// than 64 KiB. Of these gipc itself writes but two: integers of any size, and duplicate keys, for a map whose keys are of
// interface type and one number under two types.
//
// Integers, floats, booleans, strings and []byte, under whatever type name, allocate nothing on the way, except
// a string that differs from the one that it replaces.
type CBOR[T any] struct{}

// Name returns "cbor".
func (CBOR[T]) Name() string { return nameCBOR }

// Append implements [Codec].
func (CBOR[T]) Append(dst []byte, v T) ([]byte, error) {
	if isPlain[T]() {
		if out := appendPlain(dst, reflect.ValueOf(&v).Elem()); out != nil {
			return out, nil
		}
	}
	b := takeBox(v)
	b.out = *bytes.NewBuffer(dst)
	err := encodeCBOR(&b.out, &b.v)
	out := b.giveBack()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Decode implements [Codec].
func (CBOR[T]) Decode(src []byte, v *T) error {
	if isPlain[T]() && decodePlain(src, reflect.ValueOf(v).Elem()) {
		return nil
	}
	return decodeCBOR(src, v)
}

// appendCBOR is CBOR's Append for a value of any type.
func appendCBOR(dst []byte, v any) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	if err := encodeCBOR(out, v); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

// decodeCBOR is CBOR's Decode for a pointer to any type.
func decodeCBOR(src []byte, v any) error {
	if err := checkHeads(src); err != nil {
		return err
	}
	reset(reflect.ValueOf(v).Elem())
	return cborDecoding.Unmarshal(src, v)
}

func encodeCBOR(out *bytes.Buffer, v any) error {
	if err := checkNesting(reflect.ValueOf(v), 0); err != nil {
		return err
	}
	return cborEncoding.MarshalToBuffer(v, out)
}

const (
	maxNesting     = 10_000   // of arrays and maps; encoding/json has the same
	maxTags        = 16       // around one item
	maxBignumBytes = 64 << 10 // of one integer beyond 64 bits
)

// Floats keep their width and their bits, so that every value arrives as it was put.
var cborEncoding = must(cbor.EncOptions{
	Time:        cbor.TimeRFC3339Nano,
	TimeTag:     cbor.EncTagRequired,
	NaNConvert:  cbor.NaNConvertNone,
	InfConvert:  cbor.InfConvertNone,
	IndefLength: cbor.IndefLengthForbidden,
}.UserBufferEncMode())

// The library's own limits on lengths are for streams: here MaxMessage bounds the message, and the library
// checks that every array and map in it is as long as it claims before it allocates anything. Indefinite lengths
// are forbidden because it counts their items once for every level that they are nested in: a message
// of 1 MiB takes it a minute.
var cborDecoding = must(cbor.DecOptions{
	DupMapKey:         cbor.DupMapKeyEnforcedAPF,
	TimeTag:           cbor.DecTagOptional,
	MaxNestedLevels:   maxNesting,
	MaxArrayElements:  math.MaxInt32,
	MaxMapPairs:       math.MaxInt32,
	IndefLength:       cbor.IndefLengthForbidden,
	IntDec:            cbor.IntDecConvertSignedOrBigInt,
	BigIntDec:         cbor.BigIntDecodePointer,
	UTF8:              cbor.UTF8DecodeInvalid,
	FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
}.DecMode())

func must[M any](mode M, err error) M {
	if err != nil {
		panic("gipc: " + err.Error())
	}
	return mode
}

// checkHeads refuses what the library takes far more than linear time for: it looks through all the tags of an item once
// for every tag, and prints a big integer that doesn't fit in decimal. Children follow their parent's head, so that one
// pass over all heads needs no stack. It leaves malformed messages to the library, which tells what is wrong.
func checkHeads(src []byte) error {
	tags, bignum := 0, false
	for len(src) > 0 {
		major, arg, size := readHead(src)
		if size == 0 {
			return nil
		}
		src = src[size:]
		switch major {
		case majorTag:
			if tags++; tags > maxTags {
				return fmt.Errorf("more than %d CBOR tags around one item", maxTags)
			}
			bignum = arg == 2 || arg == 3
			continue
		case majorBytes, majorText:
			if arg > uint64(len(src)) {
				return nil
			}
			if bignum && arg > maxBignumBytes {
				return fmt.Errorf("an integer of %d bytes is above the limit of %d", arg, maxBignumBytes)
			}
			src = src[arg:]
		}
		tags, bignum = 0, false
	}
	return nil
}

// checkNesting refuses a value of more levels than a receiver takes, which a value that contains itself has without
// end: encoding that would overflow the stack, and end the process. It looks only into what can have that many: types
// that lead back to themselves, and interfaces. depth counts the arrays and maps around v.
func checkNesting(v reflect.Value, depth int) error {
	for hops := 0; v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface; hops++ {
		if v.IsNil() {
			return nil
		}
		if hops > maxNesting {
			return errNesting
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
	default:
		return nil
	}
	shape := shapeOf(v.Type())
	if !shape.deep {
		return nil
	}
	if depth++; depth > maxNesting {
		return errNesting
	}
	switch v.Kind() {
	case reflect.Map:
		return checkMapNesting(v, depth)
	case reflect.Struct:
		for _, f := range shape.fields {
			within := depth
			if f.flat {
				within-- // an embedded struct has no map of its own
			}
			if err := checkNesting(v.Field(f.index), within); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range v.Len() {
		if err := checkNesting(v.Index(i), depth); err != nil {
			return err
		}
	}
	return nil
}

func checkMapNesting(m reflect.Value, depth int) error {
	key, elem := reflect.New(m.Type().Key()).Elem(), reflect.New(m.Type().Elem()).Elem()
	for entry := m.MapRange(); entry.Next(); {
		key.SetIterKey(entry)
		if err := checkNesting(key, depth); err != nil {
			return err
		}
		elem.SetIterValue(entry)
		if err := checkNesting(elem, depth); err != nil {
			return err
		}
	}
	return nil
}

var errNesting = fmt.Errorf("the value is nested more than %d deep, or contains itself", maxNesting)

// shape says where a type can nest without end.
type shape struct {
	deep   bool
	fields []field // those of a struct that are deep
}

// shapes maps a reflect.Type to its *shape.
var shapes sync.Map

func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape)
	}
	s := &shape{deep: isDeep(t, make(map[reflect.Type]bool))}
	if s.deep && t.Kind() == reflect.Struct {
		for _, f := range cborFormat.fields(t) {
			if isDeep(f.typ, map[reflect.Type]bool{t: true}) {
				s.fields = append(s.fields, f)
			}
		}
	}
	known, _ := shapes.LoadOrStore(t, s)
	return known.(*shape)
}

// isDeep says whether t contains an interface, or leads back to itself or to a type around it: those are true in seen.
func isDeep(t reflect.Type, seen map[reflect.Type]bool) bool {
	if around, ok := seen[t]; ok {
		return around
	}
	if self, _ := cborFormat.encodesItself(t, true); self {
		return false
	}
	seen[t] = true
	deep := false
	switch t.Kind() {
	case reflect.Interface:
		deep = true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		deep = isDeep(t.Elem(), seen)
	case reflect.Map:
		deep = isDeep(t.Key(), seen) || isDeep(t.Elem(), seen)
	case reflect.Struct:
		for _, f := range cborFormat.fields(t) {
			deep = deep || isDeep(f.typ, seen)
		}
	}
	seen[t] = false
	return deep
}
