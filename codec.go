package gipc

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
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

// JSON encodes with [encoding/json], for peers that speak nothing else. It is slower than [CBOR] and
// loses more: invalid UTF-8 in a string becomes U+FFFD, a number in an `any` becomes a float64,
// and NaN and infinities don't encode. HTML characters are left as they are. A message is one JSON value
// without a line end.
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
	reset(reflect.ValueOf(v).Elem())
	return json.Unmarshal(src, v)
}

// Raw passes bytes through as they are: each message is one []byte. It is the fastest codec. A nil slice arrives empty.
type Raw struct{}

// Name returns "raw".
func (Raw) Name() string { return nameRaw }

// Append implements [Codec].
func (Raw) Append(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil }

// Decode implements [Codec]. It copies src into the memory of *v where that has room.
func (Raw) Decode(src []byte, v *[]byte) error {
	*v = appendNonNil((*v)[:0], src)
	return nil
}

// appendNonNil is append, but its result is never nil: an empty message is a value, not the lack of one.
func appendNonNil(dst, src []byte) []byte {
	if dst == nil {
		dst = []byte{}
	}
	return append(dst, src...)
}

// Binary uses the type's own encoding, generated or hand-written: T or *T implements [encoding.BinaryAppender], and *T
// implements [encoding.BinaryUnmarshaler]. T may also be a pointer type that has both methods: then Decode
// allocates what it points to, or reuses it. It allocates nothing itself.
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
		return dst, checkBinary(reflect.TypeFor[T]())
	}
	b := takeBox(v)
	defer b.giveBack()
	if a, ok := any(&b.v).(encoding.BinaryAppender); ok {
		return a.AppendBinary(dst)
	}
	return dst, checkBinary(reflect.TypeFor[T]())
}

// Decode implements [Codec].
func (Binary[T]) Decode(src []byte, v *T) error {
	if u, ok := any(v).(encoding.BinaryUnmarshaler); ok {
		return u.UnmarshalBinary(src)
	}
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Pointer && t.Implements(binaryUnmarshalerType) {
		if p := reflect.ValueOf(v).Elem(); p.IsNil() {
			p.Set(reflect.New(t.Elem()))
		}
		return any(*v).(encoding.BinaryUnmarshaler).UnmarshalBinary(src)
	}
	return checkBinary(t)
}

// CodecFunc makes a [Codec] from two functions, which have to keep the promises of Append and Decode there.
// Call it at start-up: it panics if name is empty or one of this package's own, or if a function is nil.
func CodecFunc[T any](name string, appendTo func(dst []byte, v T) ([]byte, error), decode func(src []byte, v *T) error) Codec[T] {
	mustBeUsersName("CodecFunc", name)
	if appendTo == nil || decode == nil {
		panic(fmt.Sprintf("gipc: CodecFunc(%q): a function is nil", name))
	}
	return &funcCodec[T]{name, appendTo, decode}
}

type funcCodec[T any] struct {
	name     string
	appendTo func(dst []byte, v T) ([]byte, error)
	decode   func(src []byte, v *T) error
}

func (c *funcCodec[T]) Name() string                           { return c.name }
func (c *funcCodec[T]) Append(dst []byte, v T) ([]byte, error) { return c.appendTo(dst, v) }
func (c *funcCodec[T]) Decode(src []byte, v *T) error          { return c.decode(src, v) }

// RegisterCodec makes a codec known by its name, so that a channel that uses it can be handed to a child.
// Call it in a package-level variable or an init function, so that it runs in parent and child alike:
//
//	func init() { gipc.RegisterCodec[Job](jobCodec) }
//
// The same name may be registered once for each T. RegisterCodec panics for a name that is registered already, empty,
// or one of this package's own, and for a nil codec. It may be called from several goroutines at once.
func RegisterCodec[T any](c Codec[T]) {
	if c == nil {
		panic(fmt.Sprintf("gipc: RegisterCodec[%v]: the codec is nil", reflect.TypeFor[T]()))
	}
	name := c.Name()
	mustBeUsersName("RegisterCodec", name)
	if _, taken := registeredCodecs.LoadOrStore(codecKey{name, reflect.TypeFor[T]()}, c); taken {
		panic(fmt.Sprintf("gipc: RegisterCodec: a codec %q for %v is registered already", name, reflect.TypeFor[T]()))
	}
}

const (
	nameCBOR   = "cbor"
	nameJSON   = "json"
	nameRaw    = "raw"
	nameBinary = "binary"
)

// registeredCodecs maps a codecKey to its Codec[T].
var registeredCodecs sync.Map

type codecKey struct {
	name string
	of   reflect.Type // T
}

func isBuiltinName(name string) bool {
	return name == nameCBOR || name == nameJSON || name == nameRaw || name == nameBinary
}

func mustBeUsersName(call, name string) {
	if name == "" {
		panic("gipc: " + call + ": the codec has an empty name")
	}
	if isBuiltinName(name) {
		panic(fmt.Sprintf("gipc: %s: %q is the name of gipc's own codec", call, name))
	}
}

// builtinName returns the name of c if it is one of this package's codecs, by value or by pointer, else "".
// It looks at the type, not at Name: a user's codec may wrap one of them and have its Name too.
func builtinName[T any](c Codec[T]) string {
	switch any(c).(type) {
	case CBOR[T], *CBOR[T]:
		return nameCBOR
	case JSON[T], *JSON[T]:
		return nameJSON
	case Raw, *Raw:
		return nameRaw
	case Binary[T], *Binary[T]:
		return nameBinary
	}
	return ""
}

// codecByName finds the codec of a channel that was handed to this process.
func codecByName[T any](name string) (Codec[T], error) {
	switch name {
	case nameCBOR:
		return CBOR[T]{}, nil
	case nameJSON:
		return JSON[T]{}, nil
	case nameBinary:
		return Binary[T]{}, nil
	case nameRaw:
		if c, ok := any(Raw{}).(Codec[T]); ok {
			return c, nil
		}
		return nil, fmt.Errorf("codec %q is for []byte, not for %v", name, reflect.TypeFor[T]())
	}
	if c, ok := registeredCodecs.Load(codecKey{name, reflect.TypeFor[T]()}); ok {
		return c.(Codec[T]), nil
	}
	return nil, notRegistered(name, reflect.TypeFor[T]())
}

// codecTravels says whether codecByName would find c in a child, where start-up registered what it did here.
func codecTravels[T any](c Codec[T]) error {
	if builtinName(c) != "" {
		return nil
	}
	name := c.Name()
	if isBuiltinName(name) {
		return fmt.Errorf("codec %T calls itself %q, the name of gipc's own codec: give it a name of its own and call gipc.RegisterCodec at start-up", c, name)
	}
	known, ok := registeredCodecs.Load(codecKey{name, reflect.TypeFor[T]()})
	if !ok {
		return notRegistered(name, reflect.TypeFor[T]())
	}
	_, isFunc := any(c).(*funcCodec[T])
	if reflect.TypeOf(known) != reflect.TypeOf(c) || isFunc && known != any(c) {
		return fmt.Errorf("codec %q is not the one that gipc.RegisterCodec got under this name: give it another", name)
	}
	return nil
}

func notRegistered(name string, of reflect.Type) error {
	return fmt.Errorf("codec %q is not registered: call gipc.RegisterCodec[%v] at start-up", name, of)
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

// reset makes v a place to decode into: nothing of its value is left, but its slices and maps keep their memory.
// Without it a used value would shine through, for decoders leave alone what a message omits or holds as null
// (CBOR's encoding of a zero time among them), and add to maps. It reports whether there was anything it could set.
func reset(v reflect.Value) bool {
	if v.Kind() == reflect.Struct {
		found := false
		for i := range v.NumField() {
			found = reset(v.Field(i)) || found
		}
		if found {
			return true
		}
	}
	if !v.CanSet() {
		return false // an unexported field: not the codec's
	}
	switch v.Kind() {
	case reflect.Map:
		v.Clear()
	case reflect.Slice:
		resetSlice(v)
	default:
		v.SetZero()
	}
	return true
}

// maxSpare is how much of a slice's memory, in bytes, stays for the next message though the last one did not need it:
// whoever shortens a slice between two messages leaves values there, so all of it has to be cleared each time.
const maxSpare = 64 << 10

func resetSlice(v reflect.Value) {
	spare := maxSpare / max(1, int(v.Type().Elem().Size()))
	keep := min(v.Cap(), max(v.Len(), spare))
	v.SetLen(keep)
	v.Clear()
	v.SetCap(keep)
	v.SetLen(0)
}
