package codec

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Checker says which types can be encoded, naming the part of a type that can't. It may be used by any number of goroutines
// at once.
type Checker struct {
	format *Format
	handle HandleFunc
	inAny  bool
	known  sync.Map // reflect.Type to checkResult
}

// HandleFunc says whether t is a handle, which stands for something outside of the value: its encoding is not looked into.
// Why is the reason if it may not be there, with what to do instead, and otherwise empty.
type HandleFunc func(t reflect.Type) (is bool, why string)

// NewChecker returns a Checker for a format.
func NewChecker(f *Format, handle HandleFunc) *Checker { return &Checker{format: f, handle: handle} }

// untyped refuses types that would arrive with fields lost in an interface. Others that have no encoding the library refuses by
// itself.
var untyped = Checker{format: &CBOR, handle: func(reflect.Type) (bool, string) { return false, "" }, inAny: true}

// checkResult wraps an error, because sync.Map holds no nil.
type checkResult struct{ err error }

// Check looks at t, once.
func (c *Checker) Check(t reflect.Type) error {
	if known, ok := c.known.Load(t); ok {
		return known.(checkResult).err
	}
	k := check{Format: c.format, handle: c.handle, seen: make(map[place]bool), inAny: c.inAny}
	if c.format == &CBOR && !c.inAny && shapeOf(t).facts&texts != 0 {
		k.Format = &cborByText
	}
	root := WithoutPointers(t)
	k.root = root.Name()
	if k.root == "" {
		k.root = root.String()
	}
	err := k.check(t, k.root, true)
	c.known.Store(t, checkResult{err})
	return err
}

// check walks over a type. It stops at the first error, so that whatever it has seen was fine.
type check struct {
	*Format
	handle HandleFunc
	root   string
	seen   map[place]bool
	inAny  bool // it only has to be written: what arrives is of Go's own types
}

type place struct {
	typ         reflect.Type
	addressable bool
}

func (c *check) check(t reflect.Type, at string, addressable bool) error {
	if c.seen[place{t, addressable}] {
		return nil
	}
	c.seen[place{t, addressable}] = true
	if handle, err := c.checkHandle(t, at); handle || err != nil {
		return err
	}
	switch t.Kind() {
	case reflect.Pointer:
		if WithoutPointers(t).Kind() == reflect.Pointer {
			return c.refuse(at, t, "it points to nothing but pointers")
		}
		return c.check(t.Elem(), at, true)
	case reflect.Interface:
		return c.checkInterface(t, at)
	}
	if self, err := c.encodesItself(t, addressable); err != nil && !c.inAny {
		return c.refuse(at, t, err.Error()+": "+c.adviceFor(t, at))
	} else if self {
		return nil
	}
	if c.Format == &cborByText && t.Kind() == reflect.String && reflect.PointerTo(t).Implements(textUnmarshalerType) {
		why := fmt.Sprintf("it has the method of %v, which would get its text, but not that of %v", textUnmarshalerType, textMarshalerType)
		return c.refuse(at, t, why+": "+c.adviceFor(t, at))
	}
	if c.hasNoEncoding(t.Kind()) {
		return c.refuseKind(t, at)
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

// checkHandle says whether t is a handle, and refuses one that may not be there.
func (c *check) checkHandle(t reflect.Type, at string) (is bool, err error) {
	is, why := c.handle(t)
	if why != "" {
		err = c.refuse(at, t, why)
	}
	return is, err
}

func (c *check) checkInterface(t reflect.Type, at string) error {
	switch {
	case t.NumMethod() == 0, c.inAny:
		return nil
	case t == errorType:
		return c.refuse(at, t, "an interface can't be decoded; send the error's text as a string")
	}
	return c.refuse(at, t, "an interface can't be decoded; use a concrete type")
}

func (c *check) checkMap(t reflect.Type, at string) error {
	if c.keyOK == nil {
		if err := c.check(t.Key(), at+"[key]", false); err != nil {
			return err
		}
	} else if !c.keyOK(t.Key()) {
		return c.refuse(at, t, "a key of type "+t.Key().String()+" has no text form")
	}
	return c.check(t.Elem(), at+"[value]", false)
}

func (c *check) checkStruct(t reflect.Type, at string, addressable bool) error {
	sent, err := c.checkFields(t, at, addressable, nil)
	if err != nil || t.NumField() == 0 {
		return err
	}
	if sent > 0 {
		if err := c.checkNames(t); err != nil {
			return c.refuse(at, t, err.Error())
		}
		return nil
	}
	why := "it has only unexported fields, so nothing of it would be sent"
	for i := range t.NumField() {
		if sf := t.Field(i); sf.IsExported() && !sf.Anonymous {
			why = "all its fields are left out by their tags, so nothing of it would be sent"
		}
	}
	return c.refuse(at, t, why+": "+c.adviceFor(t, at))
}

// checkFields checks the fields of t and of what it embeds, and counts them. outer are the structs that t is embedded in.
func (c *check) checkFields(t reflect.Type, at string, addressable bool, outer []reflect.Type) (sent int, err error) {
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
		embedded := WithoutPointers(f.typ)
		byPointer := embedded != f.typ
		n, err := c.checkFields(embedded, at+"."+f.name, addressable || byPointer, append(outer, t))
		if err != nil {
			return 0, err
		}
		if n > 0 && byPointer && !t.Field(f.index).IsExported() && !c.inAny {
			return 0, c.refuse(at+"."+f.name, f.typ, "an embedded pointer to an unexported type can't be decoded; embed the struct itself")
		}
		sent += n
	}
	return sent, nil
}

func (c *check) refuseKind(t reflect.Type, at string) error {
	if c.inAny {
		return nil // the library says so itself
	}
	advice := c.adviceFor(t, at)
	if t.PkgPath() == "" {
		return c.refuse(at, t, advice)
	}
	return c.refuse(at, t, "it is a "+t.Kind().String()+": "+advice)
}

// adviceFor says what makes t, or the value around it, one that can be encoded.
func (c *check) adviceFor(t reflect.Type, at string) string {
	if c.inAny {
		return "put what it stands for instead, a string for example"
	}
	var ways []string
	if c.name == CBOR.name && JSON.hasMethods(t) {
		ways = append(ways, "use the codec JSON, for which it has methods")
	}
	if t.Kind() == reflect.Struct {
		ways = append(ways, "export its fields")
	}
	if t.PkgPath() != "" {
		ways = append(ways, "give it, or a type around it, the methods "+c.ownMethods)
	} else {
		ways = append(ways, "use another type or codec")
	}
	if at != c.root {
		ways = append(ways, "leave it out by a tag `"+c.tags[0]+":\"-\"`")
	}
	return strings.Join(ways, ", or ")
}

// refuse says that t, at a path from the root, has no encoding, and why if that isn't plain from t.
func (c *check) refuse(at string, t reflect.Type, why string) error {
	text := fmt.Sprintf("%v can't be encoded as %s", t, c.name)
	if at != c.root {
		text = at + ": " + text
	}
	if why != "" {
		text += ": " + why
	}
	return errors.New(text)
}

// CheckBinary says whether t has the methods of its own encoding: those of encoding.BinaryAppender and
// encoding.BinaryUnmarshaler.
func CheckBinary(t reflect.Type) error {
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
