// Package record has the struct that codecs are measured with, and its encodings that are written by hand or generated.
package record

import (
	"reflect"
	"time"
)

//go:generate go run github.com/tinylib/msgp@v1.6.5 -io=false -tests=false -file record.go -o msgp_gen.go
//go:generate go run ./musgen

// Record has seven fields, as a message between processes might.
type Record struct {
	ID    uint64            `avro:"id" msg:"id"`
	Name  string            `avro:"name" msg:"name"`
	Tags  []string          `avro:"tags" msg:"tags"`
	Attrs map[string]string `avro:"attrs" msg:"attrs"`
	Score float64           `avro:"score" msg:"score"`
	When  time.Time         `avro:"when" msg:"when"`
	Blob  []byte            `avro:"blob" msg:"blob"`
}

// Sample is a record with this ID. Its other fields are always the same.
func Sample(id uint64) Record {
	blob := make([]byte, 64)
	for i := range blob {
		blob[i] = byte(7 * i)
	}
	return Record{
		ID:    id,
		Name:  "resize the picture",
		Tags:  []string{"image", "urgent", "customer"},
		Attrs: map[string]string{"format": "webp", "owner": "gallery", "region": "eu-central"},
		Score: 0.8125,
		When:  time.UnixMicro(1_700_000_000_123_456).UTC(),
		Blob:  blob,
	}
}

// Equal reports whether two records hold the same.
func Equal(a, b Record) bool {
	if !a.When.Equal(b.When) {
		return false
	}
	a.When, b.When = time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}
