package gipc

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/go-gipc/gipc/internal/codec"
)

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

// CheckCodec says whether c can encode values of type T, as far as that is known without a value (an *EncodeError), and whether
// [LookupCodec] finds it in a child by its name. It is for transports of your own: Pipe and Spawn check their channels
// themselves.
func CheckCodec[T any](c Codec[T]) error {
	if err := checkCodec(c); err != nil {
		return &EncodeError{Type: typeName[T](), Codec: c.Name(), Err: err}
	}
	return codecTravels(c)
}

// LookupCodec returns the codec for T of this name: one of this package, or one that RegisterCodec got. It is for transports of
// your own, whose other side knows only the name.
func LookupCodec[T any](name string) (Codec[T], error) { return codecByName[T](name) }

func notRegistered(name string, of reflect.Type) error {
	return fmt.Errorf("codec %q is not registered: call gipc.RegisterCodec[%v] at start-up", name, of)
}

// checkCodec says at a channel's construction whether c can encode its T at all, naming the part that it can't.
// Of a user's own codec it knows nothing, and says nil.
func checkCodec[T any](c Codec[T]) error {
	t := reflect.TypeFor[T]()
	switch builtinName(c) {
	case nameCBOR:
		return cborMessages.Check(t)
	case nameJSON:
		return jsonMessages.Check(t)
	case nameBinary:
		return codec.CheckBinary(t)
	}
	return nil
}

// What channels carry, and what Spawn's arguments may be, which travel as CBOR and may hold channel ends and files.
var (
	cborMessages = codec.NewChecker(&codec.CBOR, finder.InMessage)
	jsonMessages = codec.NewChecker(&codec.JSON, finder.InMessage)
	cborArgs     = codec.NewChecker(&codec.CBOR, finder.InArgs)
)
