package gipc

import (
	"fmt"
	"math/rand"
	"reflect"
	"testing"
	"testing/quick"

	"github.com/go-gipc/gipc/internal/test"
)

// Package codec has random types. Here random values of some types go all the way.

// Their fields are exported, as package quick needs them.
type (
	Leaf struct {
		B   bool
		I8  int8
		U64 uint64
		F32 float32
		F64 float64
		S   string
	}
	branch struct {
		Leaf
		Next   *Leaf `cbor:"n,omitempty"`
		Bytes  []byte
		Array  [3]int16
		Names  map[string]*Leaf
		Counts map[int32][]uint32
		Deep   [][]*string
	}
)

func TestRandomValuesArriveAsTheyWere(t *testing.T) {
	t.Run("number", valuesArrive[int64])
	t.Run("float", valuesArrive[float32])
	t.Run("string", valuesArrive[string])
	t.Run("bytes", valuesArrive[[]byte])
	t.Run("array", valuesArrive[[4]Leaf])
	t.Run("struct", valuesArrive[Leaf])
	t.Run("pointer", valuesArrive[*branch])
	t.Run("slice", valuesArrive[[]branch])
	t.Run("map", valuesArrive[map[string]branch])
}

// valuesArrive gets half of the values by Get, and the others by GetInto, into the value that another one was in before.
func valuesArrive[T any](t *testing.T) {
	ctx := test.Context(t)
	for name, codec := range map[string]Codec[T]{"CBOR": CBOR[T]{}, "JSON": JSON[T]{}} {
		random := rand.New(rand.NewSource(1))
		values := make([]T, 100)
		for i := range values {
			v, ok := quick.Value(reflect.TypeFor[T](), random)
			test.Equal(t, ok, true)
			values[i] = v.Interface().(T)
		}
		r, w, err := Pipe(inMemory(&Options[T]{Codec: codec, Buffer: 4 << 10}))
		test.Check(t, err)
		defer r.Close()
		put := test.Started(func() error {
			for _, v := range values {
				if err := w.Put(ctx, v); err != nil {
					return err
				}
			}
			return w.Close()
		})
		var used T
		for i, want := range values {
			got := &used
			if random.Intn(2) == 0 {
				fresh, err := r.Get(ctx)
				test.Check(t, err)
				got = &fresh
			} else {
				test.Check(t, r.GetInto(ctx, &used))
			}
			if !reflect.DeepEqual(*got, want) {
				t.Fatalf("%s, value %d: put %.500s, got %.500s", name, i, fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", *got))
			}
		}
		test.Check(t, <-put)
	}
}
