package codecs

import (
	"bytes"
	"encoding/gob"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/record"
)

// gobCodec makes an Encoder for each message. So each says anew what a Record is.
var gobCodec = register(gipc.CodecFunc("gob",
	func(dst []byte, v record.Record) ([]byte, error) {
		b := bytes.NewBuffer(dst)
		err := gob.NewEncoder(b).Encode(v)
		return b.Bytes(), err
	},
	func(src []byte, v *record.Record) error {
		*v = record.Record{} // gob leaves fields that a message doesn't have
		return gob.NewDecoder(bytes.NewReader(src)).Decode(v)
	}))
