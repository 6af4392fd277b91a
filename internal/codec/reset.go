package codec

import "reflect"

// Reset makes v a place to decode into: nothing of its value is left, but its slices and maps keep their memory.
// Without it a used value would shine through, for decoders leave alone what a message omits or holds as null
// (CBOR's encoding of a zero time among them), and add to maps. It reports whether there was anything it could set.
func Reset(v reflect.Value) bool {
	if v.Kind() == reflect.Struct {
		found := false
		for i := range v.NumField() {
			found = Reset(v.Field(i)) || found
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

// AppendNonNil is append, but its result is never nil: an empty message is a value, not the lack of one.
func AppendNonNil(dst, src []byte) []byte {
	if dst == nil {
		dst = []byte{}
	}
	return append(dst, src...)
}
