package codecs

import (
	"errors"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/record"
)

var errRest = errors.New("there are bytes behind the value")

// docs/performance.md shows this one.
var msgpCodec = gipc.CodecFunc("msgp",
	func(dst []byte, v record.Record) ([]byte, error) { return v.MarshalMsg(dst) },
	func(src []byte, v *record.Record) error {
		rest, err := v.UnmarshalMsg(src)
		if err == nil && len(rest) > 0 {
			err = errRest
		}
		return err
	})

func init() { gipc.RegisterCodec(msgpCodec) }
