package codec

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"unsafe"
)

// Reset makes v a place to decode into: nothing of its value is left, but its slices keep their memory. Without it a used
// value would shine through, for decoders leave alone what a message omits or holds as null, and add to maps. kept says
// whether there is any such memory: then call [Settle] when v has been decoded.
func Reset(v reflect.Value) (kept bool) {
	return !isZero(v) && shapeOf(v.Type()).memory.reset(v, &withoutMaps)
}

// Settle makes nil what a message has not set, as it is in a value that was never used. Decoders make a new slice where a
// message has an empty one, so that an empty one with memory is one that Reset left.
func Settle(v reflect.Value) { shapeOf(v.Type()).memory.settle(v, &withoutMaps) }

// ResetOwn is Reset for a type whose own method is to decode into v.
func ResetOwn(v reflect.Value) (kept bool) {
	return !isZero(v) && shapeOf(v.Type()).within.reset(v, &withoutMaps)
}

// SettleOwn is Settle after [ResetOwn].
func SettleOwn(v reflect.Value) { shapeOf(v.Type()).within.settle(v, &withoutMaps) }

// resetter decides, once for a message, whether maps keep their memory. A map without entries may be one that the message has,
// or one that it omits. So they do if it has none.
type resetter struct {
	src     []byte
	decided bool
	maps    bool
}

var withoutMaps = resetter{decided: true}

func (r *resetter) keepsMaps() bool {
	if !r.decided {
		r.decided, r.maps = true, !hasEmptyMap(r.src)
	}
	return r.maps
}

// emptyMaps are the heads of a map without entries. gipc writes the first, other programs may write any of them.
var emptyMaps = [][]byte{{0xa0}, {0xb8, 0}, {0xb9, 0, 0}, {0xba, 0, 0, 0, 0}, {0xbb, 0, 0, 0, 0, 0, 0, 0, 0}}

// hasEmptyMap says whether there may be a map without entries in a message. It takes bytes of strings for heads.
func hasEmptyMap(src []byte) bool {
	for _, head := range emptyMaps {
		if bytes.Contains(src, head) {
			return true
		}
	}
	return false
}

// isZero says whether the memory of v, which has an address, is all zero: then there is nothing to reset.
func isZero(v reflect.Value) bool {
	memory := unsafe.Slice((*byte)(v.Addr().UnsafePointer()), v.Type().Size())
	for len(memory) >= 8 {
		if binary.NativeEndian.Uint64(memory) != 0 {
			return false
		}
		memory = memory[8:]
	}
	for _, b := range memory {
		if b != 0 {
			return false
		}
	}
	return true
}

// resetPlan is which parts of a type keep their memory. The zero resetPlan is that of a type that keeps none.
type resetPlan struct {
	kind   reflect.Kind // Slice, Map, Struct, or Invalid if values are set to zero whole
	fields []keptField  // of a struct, those that keep memory
	rest   []restField  // and the others
}

type keptField struct {
	index int
	plan  resetPlan
}

type restField struct {
	index  int
	offset uintptr      // of an unexported field, which reflection doesn't set
	typ    reflect.Type // nil if exported
}

// planReset makes the plan of t. Types that decode themselves are set to zero whole: their methods expect a zero value.
func planReset(t reflect.Type) resetPlan {
	if decodesItself(t) {
		return resetPlan{}
	}
	return planWithin(t)
}

// planWithin makes the plan of t, whatever methods it has.
func planWithin(t reflect.Type) resetPlan {
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		return resetPlan{kind: t.Kind()}
	}
	if t.Kind() != reflect.Struct {
		return resetPlan{}
	}
	plan := resetPlan{kind: reflect.Struct}
	for i := range t.NumField() {
		sf := t.Field(i)
		within := resetPlan{}
		if sf.IsExported() || sf.Anonymous && sf.Type.Kind() == reflect.Struct {
			within = planReset(sf.Type)
		}
		switch {
		case within.kind != reflect.Invalid:
			plan.fields = append(plan.fields, keptField{i, within})
		case sf.IsExported():
			plan.rest = append(plan.rest, restField{index: i})
		default:
			plan.rest = append(plan.rest, restField{i, sf.Offset, sf.Type})
		}
	}
	if len(plan.fields) == 0 {
		return resetPlan{}
	}
	return plan
}

func (p *resetPlan) reset(v reflect.Value, r *resetter) (kept bool) {
	switch {
	case p.kind == reflect.Struct:
		for _, f := range p.rest {
			if f.typ == nil {
				v.Field(f.index).SetZero()
			} else {
				reflect.NewAt(f.typ, unsafe.Add(v.Addr().UnsafePointer(), f.offset)).Elem().SetZero()
			}
		}
		for i := range p.fields {
			f := &p.fields[i]
			kept = f.plan.reset(v.Field(f.index), r) || kept
		}
		return kept
	case p.kind == reflect.Slice && v.Cap() > 0:
		resetSlice(v)
		if v.Cap() > 0 {
			return true
		}
	case p.kind == reflect.Map && !v.IsNil() && r.keepsMaps():
		v.Clear()
		return true
	}
	v.SetZero()
	return false
}

func (p *resetPlan) settle(v reflect.Value, r *resetter) {
	switch {
	case p.kind == reflect.Struct:
		for i := range p.fields {
			f := &p.fields[i]
			f.plan.settle(v.Field(f.index), r)
		}
	case p.kind == reflect.Slice && v.Len() == 0 && v.Cap() > 0, p.kind == reflect.Map && r.maps && v.Len() == 0:
		v.SetZero()
	}
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
