package codecs

import (
	"slices"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/record"
)

var musCodec = register(gipc.CodecFunc("mus",
	func(dst []byte, v record.Record) ([]byte, error) {
		n, size := len(dst), record.RecordMUS.Size(v)
		dst = slices.Grow(dst, size)[:n+size]
		record.RecordMUS.Marshal(v, dst[n:])
		return dst, nil
	},
	func(src []byte, v *record.Record) error {
		got, n, err := record.RecordMUS.Unmarshal(src)
		if err == nil && n < len(src) {
			return errRest
		}
		*v = got
		return err
	}))
