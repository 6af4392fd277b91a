package ends

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/go-gipc/gipc/internal/codec"
)

// Walk calls visit for every *Reader, *Writer, *Duplex and *os.File in v, in an order that is the same for equal values
// in parent and child.
func (f *Finder) Walk(v reflect.Value, visit func(v any, path string) error) error {
	w := walker{f, visit}
	if !v.IsValid() {
		return nil
	}
	return w.value(v, "args", 0)
}

type walker struct {
	*Finder
	visit func(v any, path string) error
}

// maxDepth is how deep arguments may be nested; cycles, which can't be encoded, end there.
const maxDepth = 10_000

func (w *walker) value(v reflect.Value, path string, depth int) error {
	t := v.Type()
	if !w.mayHoldEnds(t) {
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
		if w.isEnd(t) {
			return w.visit(v.Interface(), path)
		}
		return w.value(v.Elem(), path, depth)
	case reflect.Interface:
		return w.inInterface(v, path, depth)
	case reflect.Struct:
		if w.isEnd(reflect.PointerTo(t)) {
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
	if f.IsExported() && !codec.CBOR.Omits(f.Tag) || w.embeds(f) {
		return w.value(v, path, depth)
	}
	if !v.IsZero() && w.mayHoldEnds(f.Type) && w.declaresEnds(f.Type) { // the cheap questions first: there may be many fields
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
	refuse := walker{w.Finder, func(v any, path string) error {
		return fmt.Errorf("%s: a %T in an interface can't be handed over, because the child would not know its type: use a field of that type", path, v)
	}}
	return refuse.value(v.Elem(), path, depth)
}

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
	order, _ := codec.Append(nil, key.Interface()) // a key without encoding stops Spawn later
	return order
}
