package codec

import (
	"fmt"
	"reflect"
)

// ofOneType says whether all keys of a map, which are of interface type, hold one of Go's own types, so that keys that differ
// do so in a message too.
func ofOneType(m reflect.Value) bool {
	var first reflect.Type
	for entry := m.MapRange(); entry.Next(); {
		key := entry.Key().Elem()
		if !key.IsValid() || key.Type() != predeclared[key.Kind()] || first != nil && key.Type() != first {
			return false
		}
		first = key.Type()
	}
	return true
}

// checkKeys refuses keys that would arrive as one, such as int(1) and uint8(1), and those that would arrive as what can't be
// a key, such as an array, which becomes a slice.
func checkKeys(m reflect.Value) error {
	arriving := make(map[any]any, m.Len())
	for entry := m.MapRange(); entry.Next(); {
		key := entry.Key().Interface()
		msg, err := Append(nil, key)
		if err != nil {
			return err
		}
		var as any
		if err := usual().dec.Unmarshal(msg, &as); err != nil {
			return fmt.Errorf("a map's key of type %T: %w", key, err)
		}
		if as != nil && !reflect.ValueOf(as).Comparable() {
			return fmt.Errorf("a map's key of type %T would arrive as a %T, which can't be a key", key, as)
		}
		if other, taken := arriving[as]; taken {
			return fmt.Errorf("two keys of a map, of types %T and %T, would both arrive as %v", other, key, as)
		}
		arriving[as] = key
	}
	return nil
}
