package codec

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

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

var benchValue = benchStruct{
	ID: 1 << 20, Name: "holiday/2026/cat.png", Tags: []string{"cat", "holiday", "draft"},
	Attrs: map[string]string{"colour": "red", "size": "large", "shape": "round"},
	Score: 0.75, When: time.Date(2026, 3, 4, 5, 6, 7, 800_900, time.UTC), Blob: make([]byte, 64),
}

// BenchmarkParts measures what encoding and decoding a struct is made of: the library alone, and what is done around it.
func BenchmarkParts(b *testing.B) {
	v := benchValue
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
		benchPart(b, "part="+part.name, part.run)
	}
}

// BenchmarkOption measures what each of our options costs, alone, beside none and all of them. A time is encoded as text in all of
// them: without that it would lose its nanoseconds.
func BenchmarkOption(b *testing.B) {
	none := cbor.EncOptions{Time: cborEncoding.Time}
	for name, set := range map[string]func(*cbor.EncOptions){
		"none":        func(*cbor.EncOptions) {},
		"TimeTag":     func(o *cbor.EncOptions) { o.TimeTag = cborEncoding.TimeTag },
		"NaNConvert":  func(o *cbor.EncOptions) { o.NaNConvert = cborEncoding.NaNConvert },
		"InfConvert":  func(o *cbor.EncOptions) { o.InfConvert = cborEncoding.InfConvert },
		"IndefLength": func(o *cbor.EncOptions) { o.IndefLength = cborEncoding.IndefLength },
		"all":         func(o *cbor.EncOptions) { *o = cborEncoding },
	} {
		o := none
		set(&o)
		mode := must(o.UserBufferEncMode())
		var out bytes.Buffer
		benchPart(b, "encode="+name, func() error { out.Reset(); return mode.MarshalToBuffer(&benchValue, &out) })
		if name == "all" {
			benchPart(b, "encode=all, boxed", func() error { out.Reset(); return mode.MarshalToBuffer(benchValue, &out) })
		}
	}
	src := must(Append(nil, &benchValue))
	for name, set := range map[string]func(*cbor.DecOptions){
		"none":              func(*cbor.DecOptions) {},
		"DupMapKey":         func(o *cbor.DecOptions) { o.DupMapKey = cborDecoding.DupMapKey },
		"MaxNestedLevels":   func(o *cbor.DecOptions) { o.MaxNestedLevels = cborDecoding.MaxNestedLevels },
		"MaxArrayElements":  func(o *cbor.DecOptions) { o.MaxArrayElements = cborDecoding.MaxArrayElements },
		"MaxMapPairs":       func(o *cbor.DecOptions) { o.MaxMapPairs = cborDecoding.MaxMapPairs },
		"IndefLength":       func(o *cbor.DecOptions) { o.IndefLength = cborDecoding.IndefLength },
		"IntDec":            func(o *cbor.DecOptions) { o.IntDec = cborDecoding.IntDec },
		"BigIntDec":         func(o *cbor.DecOptions) { o.BigIntDec = cborDecoding.BigIntDec },
		"UTF8":              func(o *cbor.DecOptions) { o.UTF8 = cborDecoding.UTF8 },
		"FieldNameMatching": func(o *cbor.DecOptions) { o.FieldNameMatching = cborDecoding.FieldNameMatching },
		"all":               func(o *cbor.DecOptions) { *o = cborDecoding },
	} {
		var o cbor.DecOptions
		set(&o)
		mode := must(o.DecMode())
		benchPart(b, "decode="+name, func() error { return mode.Unmarshal(src, new(benchStruct)) })
	}
}

func benchPart(b *testing.B, name string, run func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
