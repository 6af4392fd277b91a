package codec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

var (
	errorType             = reflect.TypeFor[error]()
	binaryAppenderType    = reflect.TypeFor[encoding.BinaryAppender]()
	binaryUnmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	textMarshalerType     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshalerType   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// Format is what the check has to know of an encoding.
type Format struct {
	name    string
	tags    []string                // struct tags that name a field, the first that is there counts
	methods []methodPair            // a type that has such a pair encodes itself
	own     []reflect.Type          // types without such methods that the library knows
	noKinds []reflect.Kind          // kinds that have no encoding
	copies  bool                    // a pointer's marshaler is used for values without an address too
	intKeys bool                    // the tag option keyasint makes a field's name a number
	strict  bool                    // a name in a tag that has other than letters, digits and some signs doesn't count
	keyOK   func(reflect.Type) bool // whether the type can be a map's key; nil: if it has an encoding
}

type methodPair struct{ marshaler, unmarshaler reflect.Type }

func (f *Format) hasNoEncoding(k reflect.Kind) bool { return slices.Contains(f.noKinds, k) }

// CBOR is the format of package cbor.
var CBOR = Format{
	name: "CBOR",
	tags: []string{"cbor", "json"},
	methods: []methodPair{
		{reflect.TypeFor[cbor.Marshaler](), reflect.TypeFor[cbor.Unmarshaler]()},
		{reflect.TypeFor[encoding.BinaryMarshaler](), binaryUnmarshalerType},
	},
	own:     []reflect.Type{timeType, bigIntType},
	noKinds: []reflect.Kind{reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Uintptr},
	copies:  true,
	intKeys: true,
}

// cborByText is CBOR for types that hold one that goes by its text: then all that have such methods do.
var cborByText = func() Format {
	f := CBOR
	f.methods = append(slices.Clone(f.methods), methodPair{textMarshalerType, textUnmarshalerType})
	return f
}()

// JSON is the format of encoding/json.
var JSON = Format{
	name:   "JSON",
	strict: true,
	tags:   []string{"json"},
	methods: []methodPair{
		{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler]()},
		{textMarshalerType, textUnmarshalerType},
	},
	noKinds: []reflect.Kind{reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128},
	keyOK: func(t reflect.Type) bool {
		switch t.Kind() {
		case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
			reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
			return true
		}
		return t.Implements(textMarshalerType) && reflect.PointerTo(t).Implements(textUnmarshalerType)
	},
}

// hasMethods says whether t has both methods of a pair.
func (f *Format) hasMethods(t reflect.Type) bool {
	self, err := f.encodesItself(t, true)
	return self && err == nil
}

// encodesItself finds the methods that encode a t. addressable says whether the encoder will have a pointer to it.
// An error says that there is no method to decode what they write.
func (f *Format) encodesItself(t reflect.Type, addressable bool) (bool, error) {
	pointer := reflect.PointerTo(t)
	for _, m := range f.methods {
		if !t.Implements(m.marshaler) && !((addressable || f.copies) && pointer.Implements(m.marshaler)) {
			continue
		}
		if !pointer.Implements(m.unmarshaler) {
			return true, fmt.Errorf("it has the method of %v, but not that of %v", m.marshaler, m.unmarshaler)
		}
		return true, nil
	}
	return slices.Contains(f.own, t), nil
}

// WithoutPointers returns what t points to in the end. That is a pointer only if t leads back to itself: type P *P.
func WithoutPointers(t reflect.Type) reflect.Type {
	for hops := 0; t.Kind() == reflect.Pointer && hops < 100; hops++ {
		t = t.Elem()
	}
	return t
}
