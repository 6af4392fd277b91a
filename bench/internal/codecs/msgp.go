package codecs

import (
	"errors"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/record"
)

var errRest = errors.New("there are bytes behind the value")

var msgpCodec = register(gipc.CodecFunc("msgp",
	func(dst []byte, v record.Record) ([]byte, error) { return v.MarshalMsg(dst) },
	func(src []byte, v *record.Record) error {
		rest, err := v.UnmarshalMsg(src)
		if err == nil && len(rest) > 0 {
			return errRest
		}
		return err
	}))
