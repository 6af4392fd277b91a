package gipc

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
)

// squeezed is a user's codec, known to children because it is registered.
var squeezed = CodecFunc("test zlib",
	func(dst []byte, v string) ([]byte, error) {
		out := bytes.NewBuffer(dst)
		z := zlib.NewWriter(out)
		_, err := io.WriteString(z, v)
		err = errors.Join(err, z.Close())
		return out.Bytes(), err
	},
	func(src []byte, v *string) error {
		z, err := zlib.NewReader(bytes.NewReader(src))
		if err != nil {
			return err
		}
		all, err := io.ReadAll(z)
		*v = string(all)
		return err
	})

func init() { RegisterCodec(squeezed) }
