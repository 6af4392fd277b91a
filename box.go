package gipc

import (
	"bytes"
	"encoding/json"
	"reflect"
	"sync"
)

// box holds what encoding one value needs on the heap: the value itself, for the encoders take an `any`,
// and the writer around the caller's bytes. Boxes are pooled for each T, so that Append allocates neither.
type box[T any] struct {
	v    T
	out  bytes.Buffer
	json *json.Encoder // writes to out; made by the first JSON.Append
	pool *sync.Pool
}

// boxPools maps a reflect.Type to the *sync.Pool of its boxes: Go has no generic variables.
var boxPools sync.Map

func takeBox[T any](v T) *box[T] {
	of := reflect.TypeFor[T]()
	found, ok := boxPools.Load(of)
	if !ok {
		pool := new(sync.Pool)
		pool.New = func() any { return &box[T]{pool: pool} }
		found, _ = boxPools.LoadOrStore(of, pool)
	}
	b := found.(*sync.Pool).Get().(*box[T])
	b.v = v
	return b
}

// giveBack returns what was written, and the box to its pool without any reference to the caller's memory.
func (b *box[T]) giveBack() []byte {
	out := b.out.Bytes()
	var zero T
	b.v, b.out = zero, bytes.Buffer{}
	b.pool.Put(b)
	return out
}
