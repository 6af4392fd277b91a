package gipc

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
)

var (
	endType               = reflect.TypeFor[movable]() // what channel ends implement
	osFileType            = reflect.TypeFor[os.File]()
	errorType             = reflect.TypeFor[error]()
	filerType             = reflect.TypeFor[interface{ File() (*os.File, error) }]()
	binaryAppenderType    = reflect.TypeFor[encoding.BinaryAppender]()
	binaryUnmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	textMarshalerType     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshalerType   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// checkCodec says at a channel's construction whether c can encode its T at all, naming the part that it can't.
// Of a user's own codec it knows nothing, and says nil.
func checkCodec[T any](c Codec[T]) error {
	t := reflect.TypeFor[T]()
	switch builtinName(c) {
	case nameCBOR:
		return checkOnce(&cborFormat, t, false)
	case nameJSON:
		return checkOnce(&jsonFormat, t, false)
	case nameBinary:
		return checkBinary(t)
	}
	return nil
}

// checkArgs is checkCodec for Spawn's arguments, which travel as CBOR and may hold channel ends and files.
func checkArgs(t reflect.Type) error { return checkOnce(&cborFormat, t, true) }

// format is what the check has to know of an encoding.
type format struct {
	name    string
	tags    []string                // struct tags that name a field, the first that is there counts
	methods []methodPair            // a type that has such a pair encodes itself
	own     []reflect.Type          // types without such methods that the library knows
	noKinds []reflect.Kind          // kinds that have no encoding
	copies  bool                    // a pointer's marshaler is used for values without an address too
	keyOK   func(reflect.Type) bool // whether the type can be a map's key; nil: if it has an encoding
}

type methodPair struct{ marshaler, unmarshaler reflect.Type }

var cborFormat = format{
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

var jsonFormat = format{
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
func (f *format) encodesItself(t reflect.Type, addressable bool) (bool, error) {
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
func (f *format) fields(t reflect.Type) []field {
	var found []field
	for i := range t.NumField() {
		sf := t.Field(i)
		embedsStruct := sf.Anonymous && withoutPointers(sf.Type).Kind() == reflect.Struct
		if !sf.IsExported() && !embedsStruct {
			continue
		}
		tag := f.tag(sf.Tag)
		if tag == "-" {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		found = append(found, field{i, sf.Name, sf.Type, embedsStruct && name == ""})
	}
	return found
}

func (f *format) tag(tag reflect.StructTag) string {
	for _, key := range f.tags {
		if value := tag.Get(key); value != "" {
			return value
		}
	}
	return ""
}

// withoutPointers returns what t points to in the end. That is a pointer only if t leads back to itself: type P *P.
func withoutPointers(t reflect.Type) reflect.Type {
	for hops := 0; t.Kind() == reflect.Pointer && hops < 100; hops++ {
		t = t.Elem()
	}
	return t
}

// checked maps a checkedType to the error that the check gave, wrapped because sync.Map holds no nil.
var checked sync.Map

type checkedType struct {
	format  *format
	of      reflect.Type
	handles bool
}

type checkResult struct{ err error }

func checkOnce(f *format, t reflect.Type, handles bool) error {
	key := checkedType{f, t, handles}
	if known, ok := checked.Load(key); ok {
		return known.(checkResult).err
	}
	c := checker{format: f, handles: handles, seen: make(map[place]bool)}
	root := withoutPointers(t)
	c.root = root.Name()
	if c.root == "" {
		c.root = root.String()
	}
	err := c.check(t, c.root, true)
	checked.Store(key, checkResult{err})
	return err
}

// checker walks over a type. It stops at the first error, so that whatever it has seen was fine.
type checker struct {
	*format
	handles bool // channel ends and files are welcome
	root    string
	seen    map[place]bool
}

type place struct {
	typ         reflect.Type
	addressable bool
}

func (c *checker) check(t reflect.Type, at string, addressable bool) error {
	if c.seen[place{t, addressable}] {
		return nil
	}
	c.seen[place{t, addressable}] = true
	if handle, err := c.checkHandle(t, at); handle || err != nil {
		return err
	}
	switch t.Kind() {
	case reflect.Pointer:
		if withoutPointers(t).Kind() == reflect.Pointer {
			return c.refuse(at, t, "it points to nothing but pointers")
		}
		return c.check(t.Elem(), at, true)
	case reflect.Interface:
		return c.checkInterface(t, at)
	}
	if self, err := c.encodesItself(t, addressable); err != nil {
		return c.refuse(at, t, err.Error())
	} else if self {
		return nil
	}
	if slices.Contains(c.noKinds, t.Kind()) {
		why := ""
		if t.Name() != "" && t.PkgPath() != "" {
			why = "it is a " + t.Kind().String()
		}
		return c.refuse(at, t, why)
	}
	switch t.Kind() {
	case reflect.Slice:
		return c.check(t.Elem(), at+"[]", true)
	case reflect.Array:
		return c.check(t.Elem(), at+"[]", addressable)
	case reflect.Map:
		return c.checkMap(t, at)
	case reflect.Struct:
		return c.checkStruct(t, at, addressable)
	}
	return nil
}

// checkHandle looks at channel ends and files, which are handed over by pointer, and only in Spawn's arguments.
func (c *checker) checkHandle(t reflect.Type, at string) (handle bool, err error) {
	isEnd := reflect.PointerTo(t).Implements(endType) || t.Implements(endType)
	target := withoutPointers(t)
	switch {
	case isEnd && embedsEnd(target):
		return true, c.refuse(at, t, "give the channel end that it embeds a field name")
	case isEnd && t.Kind() == reflect.Pointer:
		return true, nil // in a message its own marshaler refuses it, with what to do instead
	case isEnd, c.handles && t == osFileType:
		return true, c.refuse(at, t, "use a pointer, *"+t.String())
	case c.handles && t.Kind() == reflect.Pointer && t.Elem() == osFileType:
		return true, nil
	case target == osFileType:
		return true, c.refuse(at, t, "hand files over in Spawn's args")
	case c.handles && t.Implements(filerType):
		return true, c.refuse(at, t, "hand over the *os.File that its File method returns")
	}
	return false, nil
}

// embedsEnd tells a user's struct, which gets the methods of a channel end that it embeds, from the end itself.
func embedsEnd(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && reflect.PointerTo(withoutPointers(f.Type)).Implements(endType) {
			return true
		}
	}
	return false
}

func (c *checker) checkInterface(t reflect.Type, at string) error {
	switch {
	case t.NumMethod() == 0:
		return nil
	case t == errorType:
		return c.refuse(at, t, "an interface can't be decoded; send the error's text as a string")
	}
	return c.refuse(at, t, "an interface can't be decoded; use a concrete type")
}

func (c *checker) checkMap(t reflect.Type, at string) error {
	if c.keyOK == nil {
		if err := c.check(t.Key(), at+"[key]", false); err != nil {
			return err
		}
	} else if !c.keyOK(t.Key()) {
		return c.refuse(at, t, "a key of type "+t.Key().String()+" has no text form")
	}
	return c.check(t.Elem(), at+"[value]", false)
}

func (c *checker) checkStruct(t reflect.Type, at string, addressable bool) error {
	sent, err := c.checkFields(t, at, addressable, nil)
	if err != nil || sent > 0 || t.NumField() == 0 {
		return err
	}
	why := "it has only unexported fields, so nothing of it would be sent"
	for i := range t.NumField() {
		if sf := t.Field(i); sf.IsExported() && !sf.Anonymous {
			why = "all its fields are left out by their tags, so nothing of it would be sent"
		}
	}
	return c.refuse(at, t, why)
}

// checkFields checks the fields of t and of what it embeds, and counts them. outer are the structs that t is embedded in.
func (c *checker) checkFields(t reflect.Type, at string, addressable bool, outer []reflect.Type) (sent int, err error) {
	if slices.Contains(outer, t) {
		return 0, nil
	}
	for _, f := range c.fields(t) {
		if !f.flat {
			sent++
			if err := c.check(f.typ, at+"."+f.name, addressable); err != nil {
				return 0, err
			}
			continue
		}
		if handle, err := c.checkHandle(f.typ, at+"."+f.name); err != nil {
			return 0, err
		} else if handle {
			return 0, c.refuse(at+"."+f.name, f.typ, "it is embedded; give it a field name")
		}
		embedded := withoutPointers(f.typ)
		byPointer := embedded != f.typ
		n, err := c.checkFields(embedded, at+"."+f.name, addressable || byPointer, append(outer, t))
		if err != nil {
			return 0, err
		}
		if n > 0 && byPointer && !t.Field(f.index).IsExported() {
			return 0, c.refuse(at+"."+f.name, f.typ, "an embedded pointer to an unexported type can't be decoded; embed the struct itself")
		}
		sent += n
	}
	return sent, nil
}

// refuse says that t, at a path from the root, has no encoding, and why if that isn't plain from t.
func (c *checker) refuse(at string, t reflect.Type, why string) error {
	text := fmt.Sprintf("%v can't be encoded as %s", t, c.name)
	if at != c.root {
		text = at + ": " + text
	}
	if why != "" {
		text += ": " + why
	}
	return errors.New(text)
}

// checkBinary says whether T has the methods that Binary calls.
func checkBinary(t reflect.Type) error {
	methods := t
	if t.Kind() != reflect.Pointer {
		methods = reflect.PointerTo(t)
	}
	switch {
	case !methods.Implements(binaryAppenderType):
		return fmt.Errorf("%v can't be encoded as Binary: %v is no encoding.BinaryAppender", t, methods)
	case !methods.Implements(binaryUnmarshalerType):
		return fmt.Errorf("%v can't be encoded as Binary: %v is no encoding.BinaryUnmarshaler", t, methods)
	}
	return nil
}
