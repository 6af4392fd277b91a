package codec

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// benchStruct is that of the benchmarks of the root.
type benchStruct struct {
	ID    uint64
	Name  string
	Tags  []string
	Attrs map[string]string
	Score float64
	When  time.Time
	Blob  []byte
}

// BenchmarkParts measures what encoding and decoding a struct is made of: the library alone, and what is done around it.
func BenchmarkParts(b *testing.B) {
	v := benchStruct{
		ID: 1 << 20, Name: "holiday/2026/cat.png", Tags: []string{"cat", "holiday", "draft"},
		Attrs: map[string]string{"colour": "red", "size": "large", "shape": "round"},
		Score: 0.75, When: time.Date(2026, 3, 4, 5, 6, 7, 800_900, time.UTC), Blob: make([]byte, 64),
	}
	var out bytes.Buffer
	test.Check(b, Encode(&out, &v))
	src := bytes.Clone(out.Bytes())
	fresh, used := reflect.ValueOf(new(benchStruct)).Elem(), reflect.ValueOf(new(benchStruct)).Elem()
	var spent benchStruct // what GetInto finds
	test.Check(b, Decode(src, &spent))
	plan := shapeOf(used.Type()).memory
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"encode", func() error { out.Reset(); return Encode(&out, &v) }},
		{"encode by the library", func() error { out.Reset(); return usual().enc.MarshalToBuffer(&v, &out) }},
		{"decode", func() error { return Decode(src, new(benchStruct)) }},
		{"decode by the library", func() error { return usual().dec.Unmarshal(src, new(benchStruct)) }},
		{"well-formed", func() error { return usual().dec.Wellformed(src) }},
		{"count tags", func() error { _ = mayNestTags(src); return nil }},
		{"look at heads", func() error { return checkHeads(src) }},
		{"is it zero", func() error { _ = isZero(fresh); return nil }},
		{"reset and settle", func() error {
			used.Set(reflect.ValueOf(spent))
			r := resetter{src: src}
			plan.reset(used, &r)
			plan.settle(used, &r)
			return nil
		}},
	} {
		b.Run("part="+part.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := part.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
