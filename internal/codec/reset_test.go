package codec

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// TestMemoryOfALargeSliceDoesNotCostEveryMessage: what a large message needed is cleared once, not for each small one behind.
func TestMemoryOfALargeSliceDoesNotCostEveryMessage(t *testing.T) {
	v := make([]int64, 10, 1<<20)
	msg, err := Append(nil, []int64{1})
	test.Check(t, err)
	test.Check(t, Decode(msg, &v))
	if got, limit := 8*cap(v), maxSpare; got > limit {
		t.Errorf("%d bytes are kept, and cleared, for each message; limit %d", got, limit)
	}
}

// usedInner is embedded without a name that is exported, but its fields are.
type usedInner struct{ Items []int }

func TestReset(t *testing.T) {
	type used struct {
		usedInner
		When   time.Time
		ByName map[string]int
		Next   *int
		Any    any
		Array  [2][]int
		Empty  []struct{}
		local  int
		Inside struct{ N int }
	}
	n := 1
	items, byName := []int{1, 2, 3}, map[string]int{"a": 1}
	v := used{
		usedInner{items[:1]}, time.Now(), byName, &n, 1, [2][]int{{1}, {2}}, make([]struct{}, 5), 7, struct{ N int }{8},
	}
	plan, r := shapeOf(reflect.TypeOf(v)).memory, resetter{}
	if !plan.reset(reflect.ValueOf(&v).Elem(), &r) {
		t.Error("no memory was kept")
	}
	want := used{usedInner: usedInner{[]int{}}, ByName: map[string]int{}, Empty: []struct{}{}}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("left %+v, want %+v", v, want)
	}
	if cap(v.Items) != 3 || &v.Items[:1][0] != &items[0] || len(byName) != 0 {
		t.Error("the memory of the slice, or of the map, is not kept")
	}
	if !reflect.DeepEqual(items, []int{0, 0, 0}) {
		t.Errorf("%v is left where the slice was longer once", items)
	}
	if n != 1 {
		t.Error("what the old value points to was changed")
	}
	plan.settle(reflect.ValueOf(&v).Elem(), &r)
	if want := (used{}); !reflect.DeepEqual(v, want) {
		t.Errorf("when nothing was decoded: left %+v, want %+v", v, want)
	}
}

// TestResetWithoutMemory: what keeps none is set to zero whole, unexported fields too.
func TestResetWithoutMemory(t *testing.T) {
	type plain struct {
		When time.Time
		in   struct{ N int }
	}
	v := plain{time.Now(), struct{ N int }{1}}
	if Reset(reflect.ValueOf(&v).Elem()) || v != (plain{}) {
		t.Errorf("left %+v", v)
	}
	ints := map[string]int{"a": 1}
	if Reset(reflect.ValueOf(&ints).Elem()) || ints != nil {
		t.Errorf("left %v of a map that was not to be kept", ints)
	}
}

// halfSet leaves its fields alone but for what its message says.
type halfSet struct {
	A, B  int
	Items []int
}

func (h halfSet) MarshalBinary() ([]byte, error) { return []byte{byte(h.A), byte(len(h.Items))}, nil }

func (h *halfSet) UnmarshalBinary(src []byte) error {
	if src[0] != 0 {
		h.A = int(src[0])
	}
	for range src[1] {
		h.Items = append(h.Items, 1)
	}
	return nil
}

// TestUsedIsAsNew: what is got into a used value is what is got into a new one, whatever the message leaves out.
func TestUsedIsAsNew(t *testing.T) {
	type inner struct {
		Tags  []string       `cbor:",omitempty"`
		Attrs map[string]int `cbor:",omitempty"`
	}
	type message struct {
		inner
		Name   string         `cbor:",omitempty"`
		Items  []inner        `cbor:",omitempty"`
		ByName map[string]int `cbor:",omitempty"`
		Half   halfSet
		Blob   []byte `cbor:",omitempty"`
		Next   *inner `cbor:",omitempty"`
		Local  []int  `cbor:"-"`
		local  int
	}
	full := message{
		inner{[]string{"a"}, map[string]int{"a": 1}}, "n", []inner{{Tags: []string{"b"}}, {}}, map[string]int{"x": 1},
		halfSet{1, 2, []int{3}}, []byte{1}, &inner{}, []int{1}, 1,
	}
	for _, second := range []message{
		{},
		{Items: []inner{{}}},
		{inner: inner{Tags: []string{"c"}}, ByName: map[string]int{"y": 2}},
		{inner: inner{Attrs: map[string]int{}}, Items: []inner{}, ByName: map[string]int{}, Blob: []byte{}},
		{Half: halfSet{B: 7, Items: []int{1, 1}}},
	} {
		msg, err := Append(nil, &second)
		test.Check(t, err)
		var fresh message
		test.Check(t, Decode(msg, &fresh))
		used := full
		used.Items, used.ByName, used.Tags = slices.Clone(full.Items), maps.Clone(full.ByName), slices.Clone(full.Tags)
		test.Check(t, Decode(msg, &used))
		if !reflect.DeepEqual(used, fresh) {
			t.Errorf("%x\ninto a used value: %+v\ninto a new one:    %+v", msg, used, fresh)
		}
	}
}

// TestEmptySliceWithoutMemory: one that can't keep any is nil again, too.
func TestEmptySliceWithoutMemory(t *testing.T) {
	type large struct{ A [maxSpare + 1]byte }
	v := struct {
		Items []int   `cbor:",omitempty"`
		Large []large `cbor:",omitempty"`
	}{[]int{}, make([]large, 0, 1)}
	test.Check(t, Decode([]byte{0xa0}, &v))
	if v.Items != nil || v.Large != nil {
		t.Errorf("got %v, %v", v.Items, v.Large)
	}
}

// TestEmptyMapIntoUsed: a map without entries arrives as one, however its head is written.
func TestEmptyMapIntoUsed(t *testing.T) {
	for _, head := range emptyMaps {
		v := struct{ M map[string]int }{map[string]int{"a": 1}}
		test.Check(t, Decode(append([]byte{0xa1, 0x61, 'M'}, head...), &v))
		if v.M == nil || len(v.M) != 0 {
			t.Errorf("%x: got %#v", head, v.M)
		}
	}
}

// TestMapKeepsItsMemory: a used map is cleared and filled again.
func TestMapKeepsItsMemory(t *testing.T) {
	m := map[string]int{"a": 1}
	v := struct{ M map[string]int }{m}
	test.Check(t, Decode([]byte{0xa1, 0x61, 'M', 0xa1, 0x61, 'b', 2}, &v))
	if !maps.Equal(m, map[string]int{"b": 2}) {
		t.Errorf("the old map is %v", m)
	}
}

func TestAppendNonNil(t *testing.T) {
	if got := AppendNonNil(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("got %#v, want empty", got)
	}
	test.Bytes(t, AppendNonNil([]byte("a"), []byte("b")), []byte("ab"))
}
