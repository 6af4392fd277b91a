package codec

import (
	"reflect"
	"unsafe"
)

// Reset makes v a place to decode into: nothing of its value is left, but its slices, and its maps if maps says so, keep
// their memory. Without it a used value would shine through, for decoders leave alone what a message omits or holds as null
// (CBOR's encoding of a zero time among them), and add to maps. kept says whether there is any such memory: then call
// [Settle], with the same maps, when v has been decoded.
func Reset(v reflect.Value, maps bool) (kept bool) { return shapeOf(v.Type()).memory.reset(v, maps) }

// ResetOwn is Reset for a type whose own method is to decode into v.
func ResetOwn(v reflect.Value) (kept bool) { return shapeOf(v.Type()).within.reset(v, false) }

// Settle makes nil what a message has not set, as it is in a value that was never used. Decoders make a new slice where a
// message has an empty one, so that an empty one with memory is one that Reset left. Of a map nobody can tell: where Reset
// kept them, the message must have no empty one.
func Settle(v reflect.Value, maps bool) { shapeOf(v.Type()).memory.settle(v, maps) }

// SettleOwn is Settle after [ResetOwn].
func SettleOwn(v reflect.Value) { shapeOf(v.Type()).within.settle(v, false) }

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

func (p *resetPlan) reset(v reflect.Value, maps bool) (kept bool) {
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
			kept = f.plan.reset(v.Field(f.index), maps) || kept
		}
		return kept
	case p.kind == reflect.Slice && v.Cap() > 0:
		resetSlice(v)
		if v.Cap() > 0 {
			return true
		}
	case p.kind == reflect.Map && maps && !v.IsNil():
		v.Clear()
		return true
	}
	v.SetZero()
	return false
}

func (p *resetPlan) settle(v reflect.Value, maps bool) {
	switch {
	case p.kind == reflect.Struct:
		for i := range p.fields {
			f := &p.fields[i]
			f.plan.settle(v.Field(f.index), maps)
		}
	case p.kind == reflect.Slice && v.Len() == 0 && v.Cap() > 0, p.kind == reflect.Map && maps && v.Len() == 0:
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
