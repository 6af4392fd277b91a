package codec

import (
	"encoding"
	"encoding/json"
	"reflect"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// facts say what a type may hold, itself or anywhere within it.
type facts uint8

const (
	nests    facts = 1 << iota // values without end: it leads back to itself, or has an interface
	anything                   // an interface
	times                      // a time.Time
	integers                   // a big.Int
	opaque                     // CBOR that a type's own method writes, or a cbor.Tag
	texts                      // a type that goes by its text
)

// watched are the facts for which look goes through a value before it is encoded.
const watched = nests | anything | times | integers | opaque

// shape is what is known of a type beside whether it can be encoded.
type shape struct {
	facts
	own    facts          // what the type is itself: times, integers or opaque, or 0
	fields []watchedField // of a struct, those with watched facts
	memory resetPlan      // what GetInto may use again
	within resetPlan      // the same, of a type that decodes itself
	inAny  error          // why no interface may hold one
	mode   *mode          // how values of the type are written and read
}

type watchedField struct {
	field
	own facts // of its type
}

// shapes maps a reflect.Type to its *shape.
var shapes sync.Map

func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape)
	}
	s := &shape{facts: gather(t, make(map[reflect.Type]bool)), own: ownFacts(t), memory: planReset(t), within: planWithin(t), inAny: untyped.Check(t), mode: usual()}
	if s.facts&texts != 0 {
		s.mode = byText()
	}
	if t.Kind() == reflect.Struct && s.own == 0 && s.facts&watched != 0 {
		for _, f := range CBOR.fields(t) {
			if gather(f.typ, map[reflect.Type]bool{t: true})&watched != 0 {
				s.fields = append(s.fields, watchedField{f, ownFacts(f.typ)})
			}
		}
	}
	known, _ := shapes.LoadOrStore(t, s)
	return known.(*shape)
}

// gather collects the facts of t. It goes through the types around it but once: those are true in seen.
func gather(t reflect.Type, seen map[reflect.Type]bool) (found facts) {
	if around, ok := seen[t]; ok {
		if around {
			return nests
		}
		return 0
	}
	if k := t.Kind(); k != reflect.Pointer && k != reflect.Interface {
		if own := ownFacts(t); own != 0 {
			if t == tagType {
				own |= nests | anything
			}
			return own
		}
		if self, _ := CBOR.encodesItself(t, true); self {
			return 0
		}
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		found = nests | anything
	case reflect.Pointer, reflect.Slice, reflect.Array:
		found = gather(t.Elem(), seen)
	case reflect.Map:
		found = gather(t.Key(), seen) | gather(t.Elem(), seen)
	case reflect.Struct:
		for _, f := range CBOR.fields(t) {
			found |= gather(f.typ, seen)
		}
	}
	seen[t] = false
	return found
}

// ownFacts are those of t itself, whatever is in it.
func ownFacts(t reflect.Type) facts {
	switch {
	case t == timeType:
		return times
	case t == bigIntType:
		return integers
	case t.Kind() == reflect.Pointer, t.Kind() == reflect.Interface:
		return 0
	case t == tagType, reflect.PointerTo(t).Implements(cborMarshalerType):
		return opaque
	case goesByText(t):
		return texts
	}
	return 0
}

// goesByText says whether values of t travel as the text that their own method makes, because there is no other way:
// they are structs without a field to send, or of a kind that has no encoding.
func goesByText(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	if !pointer.Implements(textMarshalerType) || !pointer.Implements(textUnmarshalerType) {
		return false
	}
	if self, _ := CBOR.encodesItself(t, true); self {
		return false
	}
	return CBOR.hasNoEncoding(t.Kind()) || t.Kind() == reflect.Struct && CBOR.isMute(t, nil)
}

var ownUnmarshalers = []reflect.Type{
	reflect.TypeFor[cbor.Unmarshaler](), reflect.TypeFor[json.Unmarshaler](),
	reflect.TypeFor[encoding.BinaryUnmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
}

// decodesItself says whether a method of t may fill its values, in any encoding.
func decodesItself(t reflect.Type) bool {
	if t == timeType || t == bigIntType || t == tagType {
		return true
	}
	for _, u := range ownUnmarshalers {
		if t.Implements(u) || reflect.PointerTo(t).Implements(u) {
			return true
		}
	}
	return false
}
