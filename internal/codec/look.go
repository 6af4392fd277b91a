package codec

import (
	"fmt"
	"math/big"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// look goes through a value before it is encoded, as far as its type may hold what the library would get wrong. It refuses
// what a receiver would refuse. A value that contains itself is one of these: encoding it would overflow the stack, and end
// the process.
type look struct {
	opaque   bool // something in it writes its own CBOR
	oddTime  bool // a time's offset from UTC has seconds
	integers int  // bytes of large integers
	tags     int  // around the value that it is at
}

// value looks at v. depth counts the arrays and maps around it.
func (l *look) value(v reflect.Value, depth int) error {
	inside := false // of an interface, which any type may be in
	for hops := 0; v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface; hops++ {
		if v.IsNil() {
			return nil
		}
		if hops > maxNesting {
			return errNesting
		}
		inside = inside || v.Kind() == reflect.Interface
		v = v.Elem()
	}
	t := v.Type()
	if t == predeclared[v.Kind()] {
		return nil
	}
	s := shapeOf(t)
	if inside && s.inAny != nil {
		return s.inAny
	}
	return l.shaped(v, s, depth)
}

// shaped looks at v, which is neither a pointer nor an interface. s is its type's shape.
func (l *look) shaped(v reflect.Value, s *shape, depth int) error {
	if s.facts&watched == 0 {
		return nil
	}
	if s.own != 0 {
		return l.leaf(v, s.own, depth)
	}
	if depth++; depth > maxNesting {
		return errNesting
	}
	around := l.tags
	l.tags = 0
	err := l.parts(v, s, depth)
	l.tags = around
	return err
}

// parts looks at what is in v, which counts as a level.
func (l *look) parts(v reflect.Value, s *shape, depth int) error {
	switch v.Kind() {
	case reflect.Map:
		return l.entries(v, depth)
	case reflect.Struct:
		for _, f := range s.fields {
			if f.own != 0 {
				if err := l.leaf(v.Field(f.index), f.own, depth); err != nil {
					return err
				}
				continue
			}
			within := depth
			if f.flat {
				within-- // an embedded struct has no map of its own
			}
			if err := l.value(v.Field(f.index), within); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := l.value(v.Index(i), depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *look) leaf(v reflect.Value, own facts, depth int) error {
	switch own {
	case times:
		if _, offset := at[time.Time](v).Zone(); offset%60 != 0 {
			l.oddTime = true
		}
	case integers:
		return l.integer(at[big.Int](v))
	case opaque:
		l.opaque = true
		if v.Type() == tagType {
			return l.tag(at[cbor.Tag](v), depth)
		}
	}
	return nil
}

// tag refuses one of the tags that CBOR itself gives a meaning around something else, for which the library looks when it
// decodes.
func (l *look) tag(tag *cbor.Tag, depth int) error {
	if l.tags++; l.tags > maxTags {
		return errTags
	}
	err := l.value(reflect.ValueOf(tag).Elem().FieldByName("Content"), depth)
	l.tags--
	if err != nil {
		return err
	}
	if tag.Number <= 3 && tag.Content != nil {
		msg, err := usual().enc.Marshal(tag)
		if err != nil {
			return err
		}
		var got any
		if err := usual().dec.Unmarshal(msg, &got); err != nil {
			return fmt.Errorf("tag %d around a %T: %w", tag.Number, tag.Content, err)
		}
	}
	return nil
}

// integer refuses what checkHeads refuses.
func (l *look) integer(i *big.Int) error {
	size := (i.BitLen() + 7) / 8
	if i.Sign() < 0 { // -1 is written as 0, -2 as 1, …
		size = (new(big.Int).Not(i).BitLen() + 7) / 8
	}
	return countInteger(&l.integers, uint64(size))
}

func (l *look) entries(m reflect.Value, depth int) error {
	if m.Type().Key().Kind() == reflect.Interface && !ofOneType(m) {
		if err := checkKeys(m); err != nil {
			return err
		}
	}
	key, elem := reflect.New(m.Type().Key()).Elem(), reflect.New(m.Type().Elem()).Elem()
	for entry := m.MapRange(); entry.Next(); {
		key.SetIterKey(entry)
		if err := l.value(key, depth); err != nil {
			return err
		}
		elem.SetIterValue(entry)
		if err := l.value(elem, depth); err != nil {
			return err
		}
	}
	return nil
}

// at returns a pointer to v's value, or to a copy. Where v has an address, it allocates nothing.
func at[T any](v reflect.Value) *T {
	if v.CanAddr() {
		return v.Addr().Interface().(*T)
	}
	copied := v.Interface().(T)
	return &copied
}

var errNesting = fmt.Errorf("the value is nested more than %d deep, or contains itself", maxNesting)

// predeclared has Go's own types of a kind, which hold nothing to look at.
var predeclared = [reflect.UnsafePointer + 1]reflect.Type{
	reflect.Bool: reflect.TypeFor[bool](), reflect.String: reflect.TypeFor[string](),
	reflect.Int: reflect.TypeFor[int](), reflect.Int8: reflect.TypeFor[int8](), reflect.Int16: reflect.TypeFor[int16](),
	reflect.Int32: reflect.TypeFor[int32](), reflect.Int64: reflect.TypeFor[int64](),
	reflect.Uint: reflect.TypeFor[uint](), reflect.Uint8: reflect.TypeFor[uint8](), reflect.Uint16: reflect.TypeFor[uint16](),
	reflect.Uint32: reflect.TypeFor[uint32](), reflect.Uint64: reflect.TypeFor[uint64](),
	reflect.Float32: reflect.TypeFor[float32](), reflect.Float64: reflect.TypeFor[float64](),
}

var (
	tagType           = reflect.TypeFor[cbor.Tag]()
	timeType          = reflect.TypeFor[time.Time]()
	bigIntType        = reflect.TypeFor[big.Int]()
	cborMarshalerType = reflect.TypeFor[cbor.Marshaler]()
)
