package codec

import (
	"fmt"
	"reflect"
	"sync"
)

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
		for _, f := range CBOR.fields(t) {
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
	if self, _ := CBOR.encodesItself(t, true); self {
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
		for _, f := range CBOR.fields(t) {
			deep = deep || isDeep(f.typ, seen)
		}
	}
	seen[t] = false
	return deep
}
