package codec

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

type nestedList struct{ Next *nestedList }

func newNestedList(length int) *nestedList {
	var l *nestedList
	for range length {
		l = &nestedList{l}
	}
	return l
}

func TestNesting(t *testing.T) {
	deepest := newNestedList(maxNesting)
	t.Run("list", func(t *testing.T) { arrives(t, deepest) })
	var arrays any
	for range maxNesting {
		arrays = []any{arrays}
	}
	t.Run("any", func(t *testing.T) { arrives(t, arrays) })

	_, err := Append(nil, newNestedList(maxNesting+1))
	test.Says(t, err, "nested more than 10000 deep")
	_, err = Append(nil, []any{arrays})
	test.Says(t, err, "nested more than 10000 deep")

	ring := &nestedList{}
	ring.Next = ring
	_, err = Append(nil, ring)
	test.Says(t, err, "contains itself")
	self := map[string]any{}
	self["self"] = self
	_, err = Append(nil, self)
	test.Says(t, err, "contains itself")
	var pointer any
	pointer = &pointer
	_, err = Append(nil, pointer)
	test.Says(t, err, "contains itself")
}

// What leads back to itself in a type, and so in a value.
type (
	ringOfSlices []ringOfSlices
	ringOfMaps   map[string]ringOfMaps
	ringByKey    struct{ Next map[nodeKey]int }
	nodeKey      struct{ At any }
	ringOfArrays struct{ Next [1]*ringOfArrays }
	embedsRing   struct {
		EmbeddedRing
		Name string
	}
	EmbeddedRing struct{ Next *embedsRing }
)

func TestRingsAreRefused(t *testing.T) {
	slices := make(ringOfSlices, 1)
	slices[0] = slices
	maps := ringOfMaps{}
	maps["a"] = maps
	byKey := &ringByKey{Next: map[nodeKey]int{}}
	byKey.Next[nodeKey{byKey}] = 1
	arrays := &ringOfArrays{}
	arrays.Next[0] = arrays
	embeds := &embedsRing{}
	embeds.Next = embeds
	for _, v := range []any{slices, maps, byKey, arrays, embeds, []any{1, slices}} {
		_, err := Append(nil, v)
		test.Says(t, err, "contains itself")
	}
}

// TestEmbeddedStructsAreNoLevel: a list is as deep through a field of an embedded struct, which has no map of its own.
func TestEmbeddedStructsAreNoLevel(t *testing.T) {
	var l *embedsRing
	for range maxNesting {
		l = &embedsRing{EmbeddedRing: EmbeddedRing{l}}
	}
	arrives(t, l)
	_, err := Append(nil, &embedsRing{EmbeddedRing: EmbeddedRing{l}})
	test.Says(t, err, "nested more than 10000 deep")
}

// TestOnlyWhatCanBeDeepIsLookedInto: messages are not walked through twice where their type can't nest without end.
func TestOnlyWhatCanBeDeepIsLookedInto(t *testing.T) {
	for _, shallow := range []any{[]parcel{}, map[string][]netip.Addr{}, [2]map[parcel]bool{}, struct{ P **parcel }{}, parcel{}} {
		if shapeOf(reflect.TypeOf(shallow)).facts&watched != 0 {
			t.Errorf("%T is looked into", shallow)
		}
	}
	for _, deep := range []any{[]any{}, nestedList{}, map[any]int{}, map[int]nodeKey{}, struct{ E error }{}, ringOfSlices{}, shipment{}} {
		if shapeOf(reflect.TypeOf(deep)).facts&nests == 0 {
			t.Errorf("%T does not count as one that nests", deep)
		}
	}
	var names []string
	for _, f := range shapeOf(reflect.TypeOf(shipment{})).fields {
		names = append(names, f.name)
	}
	if !slices.Equal(names, []string{"When", "Parent", "Any", "Big"}) {
		t.Errorf("of a shipment the fields %v are looked into", names)
	}
}
