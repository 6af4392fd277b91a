package codec

import (
	"reflect"
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
	if !Reset(reflect.ValueOf(&v).Elem()) {
		t.Error("nothing could be set")
	}
	want := used{usedInner: usedInner{[]int{}}, ByName: map[string]int{}, Empty: []struct{}{}, local: 7}
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
}

// TestResetOfNothing: a struct of unexported fields alone is set as a whole, and one that is a field of those not at all.
func TestResetOfNothing(t *testing.T) {
	v := struct {
		When time.Time
		in   struct{ N int }
	}{time.Now(), struct{ N int }{1}}
	if !Reset(reflect.ValueOf(&v).Elem()) || !v.When.IsZero() || v.in.N != 1 {
		t.Errorf("left %+v", v)
	}
	if Reset(reflect.ValueOf(v)) {
		t.Error("a value without an address was set")
	}
}

func TestAppendNonNil(t *testing.T) {
	if got := AppendNonNil(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("got %#v, want empty", got)
	}
	test.Bytes(t, AppendNonNil([]byte("a"), []byte("b")), []byte("ab"))
}
