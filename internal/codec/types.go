package codec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"

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
	keyOK   func(reflect.Type) bool // whether the type can be a map's key; nil: if it has an encoding
}

type methodPair struct{ marshaler, unmarshaler reflect.Type }

// CBOR is the format of package cbor.
var CBOR = Format{
	name: "CBOR",
	tags: []string{"cbor", "json"},
	methods: []methodPair{
		{reflect.TypeFor[cbor.Marshaler](), reflect.TypeFor[cbor.Unmarshaler]()},
		{reflect.TypeFor[encoding.BinaryMarshaler](), binaryUnmarshalerType},
	},
	own:     []reflect.Type{reflect.TypeFor[time.Time](), reflect.TypeFor[big.Int]()},
	noKinds: []reflect.Kind{reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Uintptr},
	copies:  true,
}

// JSON is the format of encoding/json.
var JSON = Format{
	name: "JSON",
	tags: []string{"json"},
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

// field is a struct field that an encoder looks at.
type field struct {
	index int
	name  string
	typ   reflect.Type
	flat  bool // embedded: its fields count as the outer struct's
}

// fields returns the fields of the struct type t that f encodes.
func (f *Format) fields(t reflect.Type) []field {
	var found []field
	for i := range t.NumField() {
		sf := t.Field(i)
		embedsStruct := sf.Anonymous && WithoutPointers(sf.Type).Kind() == reflect.Struct
		if !sf.IsExported() && !embedsStruct {
			continue
		}
		if f.Omits(sf.Tag) {
			continue
		}
		name, _, _ := strings.Cut(f.tag(sf.Tag), ",")
		found = append(found, field{i, sf.Name, sf.Type, embedsStruct && name == ""})
	}
	return found
}

// Omits says whether a field with that tag is left out.
func (f *Format) Omits(tag reflect.StructTag) bool { return f.tag(tag) == "-" }

func (f *Format) tag(tag reflect.StructTag) string {
	for _, key := range f.tags {
		if value := tag.Get(key); value != "" {
			return value
		}
	}
	return ""
}

// WithoutPointers returns what t points to in the end. That is a pointer only if t leads back to itself: type P *P.
func WithoutPointers(t reflect.Type) reflect.Type {
	for hops := 0; t.Kind() == reflect.Pointer && hops < 100; hops++ {
		t = t.Elem()
	}
	return t
}
