package codec

import (
	"encoding"
	"encoding/binary"
	"math"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// CBOR's major types, as they stand in the upper 3 bits of an item's first byte, and its simple values.
const (
	majorUint   = 0 << 5
	majorNegInt = 1 << 5
	majorBytes  = 2 << 5
	majorText   = 3 << 5
	majorTag    = 6 << 5
	majorOther  = 7 << 5

	byteFalse   = majorOther | 20
	byteTrue    = majorOther | 21
	byteNull    = majorOther | 22
	byteFloat32 = majorOther | 26
	byteFloat64 = majorOther | 27
)

// readHead returns an item's major type, its argument (a number, or a length), and the size of both; 0 if that
// is not in src whole, or of a kind that no complete item starts with.
func readHead(src []byte) (major byte, arg uint64, size int) {
	if len(src) == 0 {
		return 0, 0, 0
	}
	major, low := src[0]&0xe0, src[0]&0x1f
	if low < 24 {
		return major, uint64(low), 1
	}
	size = 1 + 1<<(low-24)
	if low > 27 || len(src) < size {
		return 0, 0, 0
	}
	switch low {
	case 24:
		arg = uint64(src[1])
	case 25:
		arg = uint64(binary.BigEndian.Uint16(src[1:]))
	case 26:
		arg = uint64(binary.BigEndian.Uint32(src[1:]))
	default:
		arg = binary.BigEndian.Uint64(src[1:])
	}
	return major, arg, size
}

// IsPlain says whether values of T are one head, or one head and bytes, and whether no method of T says otherwise.
func IsPlain[T any]() bool {
	t := reflect.TypeFor[T]()
	switch t.Kind() {
	default:
		return false
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return false
		}
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
	}
	switch any((*T)(nil)).(type) {
	case cbor.Marshaler, cbor.Unmarshaler, encoding.BinaryMarshaler, encoding.BinaryUnmarshaler:
		return false
	}
	return true
}

// AppendPlain does what the library does with a plain value, but without boxing it. v must have an address.
func AppendPlain(dst []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(dst, byteTrue)
		}
		return append(dst, byteFalse)
	case reflect.String:
		s := v.String()
		return append(appendHead(dst, majorText, uint64(len(s))), s...)
	case reflect.Slice:
		if v.IsNil() {
			return append(dst, byteNull)
		}
		b := v.Bytes()
		return append(appendHead(dst, majorBytes, uint64(len(b))), b...)
	case reflect.Float32:
		return binary.BigEndian.AppendUint32(append(dst, byteFloat32), *bits32(v))
	case reflect.Float64:
		return binary.BigEndian.AppendUint64(append(dst, byteFloat64), math.Float64bits(v.Float()))
	}
	if v.CanUint() {
		return appendHead(dst, majorUint, v.Uint())
	}
	if i := v.Int(); i < 0 {
		return appendHead(dst, majorNegInt, uint64(^i)) // -1 is 0, -2 is 1, …
	}
	return appendHead(dst, majorUint, uint64(v.Int()))
}

func appendHead(dst []byte, major byte, arg uint64) []byte {
	switch {
	case arg < 24:
		return append(dst, major|byte(arg))
	case arg <= math.MaxUint8:
		return append(dst, major|24, byte(arg))
	case arg <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(arg))
	case arg <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), arg)
}

// DecodePlain reports whether src is exactly one item of v's own kind and in its range, and then sets v.
// Anything else is for the library: it knows the conversions, and the errors.
func DecodePlain(src []byte, v reflect.Value) bool {
	major, arg, size := readHead(src)
	if size == 0 {
		return false
	}
	if major == majorBytes || major == majorText {
		return arg == uint64(len(src)-size) && setBytes(v, major, src[size:])
	}
	return size == len(src) && setNumber(v, src[0], major, arg)
}

// bits32 returns the bits of a float32. The methods of reflect.Value convert to float64 and back, which makes a signalling
// NaN a quiet one.
func bits32(v reflect.Value) *uint32 { return (*uint32)(v.Addr().UnsafePointer()) }

func setBytes(v reflect.Value, major byte, content []byte) bool {
	switch {
	case major == majorText && v.Kind() == reflect.String:
		if v.String() != string(content) { // the same again costs nothing
			v.SetString(string(content))
		}
		return true
	case major == majorBytes && v.Kind() == reflect.Slice:
		v.SetBytes(AppendNonNil(v.Bytes()[:0], content))
		return true
	}
	return false
}

func setNumber(v reflect.Value, first, major byte, arg uint64) bool {
	isNumber := major == majorUint || major == majorNegInt && v.CanInt()
	switch {
	case isNumber && v.CanUint() && !v.OverflowUint(arg):
		v.SetUint(arg)
	case isNumber && v.CanInt() && arg <= math.MaxInt64:
		i := int64(arg)
		if major == majorNegInt {
			i = ^i
		}
		if v.OverflowInt(i) {
			return false
		}
		v.SetInt(i)
	case v.Kind() == reflect.Bool && (first == byteTrue || first == byteFalse):
		v.SetBool(first == byteTrue)
	case v.Kind() == reflect.Float32 && first == byteFloat32:
		*bits32(v) = uint32(arg)
	case v.Kind() == reflect.Float64 && first == byteFloat64:
		v.SetFloat(math.Float64frombits(arg))
	default:
		return false
	}
	return true
}
