package codecs

import (
	"bytes"

	"github.com/hamba/avro/v2"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/record"
)

// Avro has no unsigned integers: the ID is eight bytes.
var avroSchema = avro.MustParse(`{
	"type": "record", "name": "Record", "fields": [
		{"name": "id", "type": {"type": "fixed", "name": "uint64", "size": 8}},
		{"name": "name", "type": "string"},
		{"name": "tags", "type": {"type": "array", "items": "string"}},
		{"name": "attrs", "type": {"type": "map", "values": "string"}},
		{"name": "score", "type": "double"},
		{"name": "when", "type": {"type": "long", "logicalType": "timestamp-micros"}},
		{"name": "blob", "type": "bytes"}
	]}`)

var avroCodec = register(gipc.CodecFunc("avro",
	func(dst []byte, v record.Record) ([]byte, error) {
		b := bytes.NewBuffer(dst)
		err := avro.NewEncoderForSchema(avroSchema, b).Encode(v)
		return b.Bytes(), err
	},
	func(src []byte, v *record.Record) error {
		*v = record.Record{} // avro adds to what a map has
		return avro.Unmarshal(avroSchema, src, v)
	}))
