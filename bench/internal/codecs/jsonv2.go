//go:build goexperiment.jsonv2

package codecs

import (
	"encoding/json/v2"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/work"
)

var jsonV2Codec = register(gipc.CodecFunc("json/v2",
	func(dst []byte, v record.Record) ([]byte, error) {
		w := appender{dst}
		err := json.MarshalWrite(&w, v)
		return w.b, err
	},
	func(src []byte, v *record.Record) error {
		*v = record.Record{} // json merges maps
		return json.Unmarshal(src, v)
	}))

// appender is a Writer that appends.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

func experiments() []work.Rival {
	return []work.Rival{forRecords("encoding/json/v2", "reflection", work.Version(""), jsonV2Codec)}
}
