package gipc

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sync"
)

// Finding the ends and files in a value, by reflection.

var fileType = reflect.TypeFor[*os.File]()

// walk calls visit for every *Reader, *Writer, *Duplex and *os.File in v, in an order that is the same for equal values
// in parent and child.
func walk(v reflect.Value, visit func(v any, path string) error) error {
	w := walker{visit: visit}
	if !v.IsValid() {
		return nil
	}
	return w.value(v, "args", 0)
}

type walker struct {
	visit func(v any, path string) error
}

// maxDepth is how deep arguments may be nested; cycles, which can't be encoded, end there.
const maxDepth = 10_000

func (w *walker) value(v reflect.Value, path string, depth int) error {
	t := v.Type()
	if !mayHoldEnds(t) {
		return nil
	}
	if depth > maxDepth {
		return fmt.Errorf("%s: arguments are nested more than %d deep, or contain themselves", path[:min(len(path), 40)], maxDepth)
	}
	depth++
	switch t.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if isEnd(t) {
			return w.visit(v.Interface(), path)
		}
		return w.value(v.Elem(), path, depth)
	case reflect.Interface:
		return w.inInterface(v, path, depth)
	case reflect.Struct:
		if isEnd(reflect.PointerTo(t)) {
			return w.byValue(v, path)
		}
		for i := range t.NumField() {
			if err := w.field(v.Field(i), t.Field(i), path, depth); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := w.value(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, key := range sortedKeys(v) {
			elem := v.MapIndex(key)
			if !elem.IsValid() {
				return fmt.Errorf("%s: what stands under the key %v, which is not equal to itself, can't be found", path, key)
			}
			if err := w.value(elem, fmt.Sprintf("%s[%v]", path, key), depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) field(v reflect.Value, f reflect.StructField, path string, depth int) error {
	path += "." + f.Name
	if f.IsExported() && cborFormat.tag(f.Tag) != "-" || f.Anonymous {
		return w.value(v, path, depth)
	}
	if !v.IsZero() && mayHoldEnds(f.Type) && declaresEnds(f.Type) { // the cheap questions first: there may be many fields
		return fmt.Errorf("%s: a channel end or file in a field that is not encoded would stay behind: export the field", path)
	}
	return nil
}

func (w *walker) byValue(v reflect.Value, path string) error {
	if v.IsZero() {
		return nil
	}
	return fmt.Errorf("%s: a %v that is no pointer can't be handed over: use a *%v", path, v.Type(), v.Type())
}

// inInterface refuses ends whose type the child can't know.
func (w *walker) inInterface(v reflect.Value, path string, depth int) error {
	if v.IsNil() {
		return nil
	}
	refuse := walker{visit: func(v any, path string) error {
		return fmt.Errorf("%s: a %T in an interface can't be handed over, because the child would not know its type: use a field of that type", path, v)
	}}
	return refuse.value(v.Elem(), path, depth)
}

func isEnd(t reflect.Type) bool { return t == fileType || t.Implements(endType) }

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		switch {
		case a.CanInt():
			return cmp.Compare(a.Int(), b.Int())
		case a.CanUint():
			return cmp.Compare(a.Uint(), b.Uint())
		case a.Kind() == reflect.String:
			return cmp.Compare(a.String(), b.String())
		}
		return bytes.Compare(keyOrder(a), keyOrder(b))
	})
	return keys
}

// keyOrder is how a key is encoded: how it prints may differ between parent and child, and be the same for two keys.
func keyOrder(key reflect.Value) []byte {
	order, _ := appendCBOR(nil, key.Interface()) // a key without encoding stops Spawn later
	return order
}

// mayHoldEnds says whether an end may be in a value of type t. It is cached: arguments may be long lists of a type that holds
// none.
func mayHoldEnds(t reflect.Type) bool {
	if known, ok := holders.Load(t); ok {
		return known.(bool)
	}
	search := endSearch{inInterfaces: true, seen: map[reflect.Type]bool{}}
	holds := search.finds(t)
	holders.Store(t, holds)
	return holds
}

var holders sync.Map // reflect.Type to bool

// declaresEnds says whether t names the type of an end: what is in its interfaces is left out.
func declaresEnds(t reflect.Type) bool {
	search := endSearch{seen: map[reflect.Type]bool{}}
	return search.finds(t)
}

type endSearch struct {
	inInterfaces bool // may be ends
	seen         map[reflect.Type]bool
}

func (s *endSearch) finds(t reflect.Type) bool {
	if s.seen[t] {
		return false
	}
	s.seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return s.inInterfaces
	case reflect.Pointer:
		return isEnd(t) || s.finds(t.Elem())
	case reflect.Slice, reflect.Array, reflect.Map:
		return s.finds(t.Elem())
	case reflect.Struct:
		if isEnd(reflect.PointerTo(t)) {
			return true
		}
		for i := range t.NumField() {
			if s.finds(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

// closeEnds closes the ends in arguments that were not handed over, those too that can't be: the ones in interfaces. Files
// there, such as os.Stderr in an io.Writer, are left alone.
func closeEnds(args any) {
	c := endCloser{seen: map[reference]bool{}}
	c.value(reflect.ValueOf(args), false)
}

type endCloser struct{ seen map[reference]bool }

// reference is a pointer, map or slice: what may lead in a circle.
type reference struct {
	t   reflect.Type
	at  uintptr
	len int
}

func (c *endCloser) value(v reflect.Value, inInterface bool) {
	if !v.IsValid() || !mayHoldEnds(v.Type()) || c.sawBefore(v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if isEnd(v.Type()) {
			if !v.IsNil() && !(inInterface && v.Type() == fileType) {
				closeEnd(v.Interface())
			}
			return
		}
		c.value(v.Elem(), inInterface)
	case reflect.Interface:
		c.value(v.Elem(), true)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				c.value(v.Field(i), inInterface)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			c.value(v.Index(i), inInterface)
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			c.value(entries.Value(), inInterface)
		}
	}
}

func (c *endCloser) sawBefore(v reflect.Value) bool {
	var r reference
	switch v.Kind() {
	case reflect.Slice:
		r.len = v.Len()
		fallthrough
	case reflect.Pointer, reflect.Map:
		r.t, r.at = v.Type(), v.Pointer()
	default:
		return false
	}
	saw := c.seen[r]
	c.seen[r] = true
	return saw
}

// closeEnd ignores errors: they say that the end is closed already.
func closeEnd(end any) {
	switch end := end.(type) {
	case interface{ CloseNow() error }:
		_ = end.CloseNow()
	case interface{ Close() error }:
		_ = end.Close()
	}
}
