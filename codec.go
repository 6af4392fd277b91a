package gipc

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"github.com/go-gipc/gipc/internal/codec"
)

var (
	_ Codec[int]    = CBOR[int]{}
	_ Codec[int]    = JSON[int]{}
	_ Codec[int]    = Binary[int]{}
	_ Codec[[]byte] = Raw{}
)

// Codec turns values of type T into messages and back. A channel calls its codec from several goroutines
// at once, so a Codec must be safe for that; the ones of this package are, and have no state.
//
// Make one from two functions with [CodecFunc]. A channel with a codec that isn't one of this package
// ([CBOR], [JSON], [Raw], [Binary]) can be handed to a child only after [RegisterCodec].
type Codec[T any] interface {
	// Name says what the messages are written in. It must not change: it travels with a channel that is handed
	// to a child, which finds the codec by it. "cbor", "json", "raw" and "binary" are taken.
	Name() string

	// Append appends the encoding of v to dst and returns the extended slice. It keeps no reference to dst, nor to v
	// or what v points to, and changes none of the bytes that dst holds. With an error, the returned slice is ignored.
	Append(dst []byte, v T) ([]byte, error)

	// Decode decodes src, one whole message, into *v. src is valid only during the call: what *v keeps must be
	// a copy. *v is either the zero value or holds an earlier value, whose memory should be reused; nothing of
	// the earlier value may show in the new one. With an error, *v may be partly filled, and nobody reads it.
	// src may come from a hostile process: memory must stay in proportion to len(src), whatever src claims.
	Decode(src []byte, v *T) error
}

// CBOR is the default codec: RFC 8949, as github.com/fxamacker/cbor writes it. Field names come from
// `cbor` struct tags, else from `json` tags, else from Go, and must match exactly.
//
// A value arrives as it was put. Where that can't be, the T is refused when a channel is made, or Put returns an
// [*EncodeError]. The exceptions are these:
//
//   - Unexported fields stay behind, as does a field that is hidden by one of the same name further out.
//   - A time keeps its instant and its offset from UTC, in whole minutes. Its zone's name and its monotonic reading stay behind.
//     The year must be between 0 and 9999.
//   - Pointers to one variable become pointers to copies. A pointer to a nil slice, map or pointer, or to a zero time, arrives nil.
//   - A signalling NaN in a float32 arrives quiet, unless T is the float itself.
//   - An `any` knows no Go type. In it, integers arrive as int64, or as *[big.Int] where they are greater, floats as float64,
//     slices and arrays as []any, bytes as []byte, maps and structs as map[any]any, [time.Time] as itself, a zero time as nil,
//     and a type with a method of its own as what the method wrote.
//
// Strings need not be UTF-8, and a nil slice or map stays nil.
//
// A type's own MarshalCBOR or MarshalBinary is used, with the UnmarshalCBOR or UnmarshalBinary beside it. A type without these,
// and without a field to send, goes by its MarshalText and UnmarshalText: [big.Rat] is one. In a T that holds such a type, all
// types with both methods go by their text. A struct that embeds a type with methods, [time.Time] for one, inherits them. Then
// nothing but the embedded value is sent.
//
// Values nested more than 10,000 deep, and so those that contain themselves, are refused in both directions. So are duplicate
// keys in a map, more than 16 tags around one item, an integer of more than 64 KiB, and more than 512 KiB of integers that have
// more than 1 KiB each. In messages that arrive, items of indefinite length are refused, too.
//
// Messages of other programs may hold what gipc doesn't write. A null for a value that can't be nil stands for its zero value.
// What an array has beyond the length of a Go array is dropped.
//
// Integers, floats, booleans, strings and []byte, under whatever type name, allocate nothing on the way, except
// a string that differs from the one that it replaces.
type CBOR[T any] struct{}

// Name returns "cbor".
func (CBOR[T]) Name() string { return nameCBOR }

// Append implements [Codec].
func (CBOR[T]) Append(dst []byte, v T) ([]byte, error) {
	if codec.IsPlain[T]() {
		return codec.AppendPlain(dst, reflect.ValueOf(&v).Elem()), nil
	}
	b := takeBox(v)
	b.out = *bytes.NewBuffer(dst)
	err := codec.Encode(&b.out, &b.v)
	out := b.giveBack()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Decode implements [Codec].
func (CBOR[T]) Decode(src []byte, v *T) error {
	if codec.IsPlain[T]() && codec.DecodePlain(src, reflect.ValueOf(v).Elem()) {
		return nil
	}
	return codec.Decode(src, v)
}

// JSON encodes with [encoding/json], for peers that speak nothing else. It is slower than [CBOR] and
// loses more: invalid UTF-8 in a string becomes U+FFFD, a number in an `any` becomes a float64,
// a time loses the seconds of its offset from UTC, and with them its instant, and NaN and infinities don't encode.
// As with encoding/json, a null changes nothing, and what an array has beyond the length of a Go array is dropped.
// HTML characters are left as they are. A message is one JSON value without a line end.
type JSON[T any] struct{}

// Name returns "json".
func (JSON[T]) Name() string { return nameJSON }

// Append implements [Codec].
func (JSON[T]) Append(dst []byte, v T) ([]byte, error) {
	b := takeBox(v)
	b.out = *bytes.NewBuffer(dst)
	if b.json == nil {
		b.json = json.NewEncoder(&b.out)
		b.json.SetEscapeHTML(false)
	}
	err := b.json.Encode(&b.v)
	out := b.giveBack()
	if err != nil {
		return dst, err
	}
	return out[:len(out)-1], nil // the line end that Encoder adds
}

// Decode implements [Codec].
func (JSON[T]) Decode(src []byte, v *T) error {
	value := reflect.ValueOf(v).Elem()
	kept := codec.Reset(value)
	err := json.Unmarshal(src, v)
	if kept {
		codec.Settle(value)
	}
	return err
}

// Raw passes bytes through as they are: each message is one []byte. It is the fastest codec. A nil slice arrives empty.
type Raw struct{}

// Name returns "raw".
func (Raw) Name() string { return nameRaw }

// Append implements [Codec].
func (Raw) Append(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil }

// Decode implements [Codec]. It copies src into the memory of *v where that has room.
func (Raw) Decode(src []byte, v *[]byte) error {
	*v = codec.AppendNonNil((*v)[:0], src)
	return nil
}

// Binary uses the type's own encoding, generated or hand-written: T or *T implements [encoding.BinaryAppender], and *T
// implements [encoding.BinaryUnmarshaler]. T may also be a pointer type that has both methods: then Decode
// allocates what it points to, or reuses it. It allocates nothing itself.
//
// UnmarshalBinary always gets a zero value, but for slices in exported fields, which are empty and may have memory to append to.
type Binary[T any] struct{}

// Name returns "binary".
func (Binary[T]) Name() string { return nameBinary }

// Append implements [Codec].
func (Binary[T]) Append(dst []byte, v T) ([]byte, error) {
	if reflect.TypeFor[T]().Kind() == reflect.Pointer {
		if reflect.ValueOf(v).IsNil() {
			return dst, fmt.Errorf("a nil %T has no binary encoding", v)
		}
		if a, ok := any(v).(encoding.BinaryAppender); ok {
			return a.AppendBinary(dst)
		}
		return dst, codec.CheckBinary(reflect.TypeFor[T]())
	}
	b := takeBox(v)
	defer b.giveBack()
	if a, ok := any(&b.v).(encoding.BinaryAppender); ok {
		return a.AppendBinary(dst)
	}
	return dst, codec.CheckBinary(reflect.TypeFor[T]())
}

// Decode implements [Codec].
func (Binary[T]) Decode(src []byte, v *T) error {
	if u, ok := any(v).(encoding.BinaryUnmarshaler); ok {
		return decodeBinary(src, reflect.ValueOf(v).Elem(), u)
	}
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Pointer && t.Implements(reflect.TypeFor[encoding.BinaryUnmarshaler]()) {
		p := reflect.ValueOf(v).Elem()
		if p.IsNil() {
			p.Set(reflect.New(t.Elem()))
		}
		return decodeBinary(src, p.Elem(), any(*v).(encoding.BinaryUnmarshaler))
	}
	return codec.CheckBinary(t)
}

// decodeBinary calls u, a pointer to v, on a value that is zero but for the memory of its slices.
func decodeBinary(src []byte, v reflect.Value, u encoding.BinaryUnmarshaler) error {
	kept := codec.ResetOwn(v)
	err := u.UnmarshalBinary(src)
	if kept {
		codec.SettleOwn(v)
	}
	return err
}

// box holds what encoding one value needs on the heap: the value itself, for the encoders take an `any`,
// and the writer around the caller's bytes. Boxes are pooled for each T, so that Append allocates neither.
type box[T any] struct {
	v    T
	out  bytes.Buffer
	json *json.Encoder // writes to out; made by the first JSON.Append
	pool *sync.Pool
}

// boxPools maps a reflect.Type to the *sync.Pool of its boxes: Go has no generic variables.
var boxPools sync.Map

func takeBox[T any](v T) *box[T] {
	of := reflect.TypeFor[T]()
	found, ok := boxPools.Load(of)
	if !ok {
		pool := new(sync.Pool)
		pool.New = func() any { return &box[T]{pool: pool} }
		found, _ = boxPools.LoadOrStore(of, pool)
	}
	b := found.(*sync.Pool).Get().(*box[T])
	b.v = v
	return b
}

// giveBack returns what was written, and the box to its pool without any reference to the caller's memory.
func (b *box[T]) giveBack() []byte {
	out := b.out.Bytes()
	var zero T
	b.v, b.out = zero, bytes.Buffer{}
	b.pool.Put(b)
	return out
}
