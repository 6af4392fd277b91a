package codecs

import (
	"github.com/goccy/go-json"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/record"
)

var goccyCodec = register(gipc.CodecFunc("goccy",
	func(dst []byte, v record.Record) ([]byte, error) {
		b, err := json.Marshal(v)
		return append(dst, b...), err
	},
	func(src []byte, v *record.Record) error {
		*v = record.Record{} // json merges maps
		return json.Unmarshal(src, v)
	}))
