package gipc

import (
	"bytes"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func FuzzJSONDecode(f *testing.F) {
	f.Add([]byte(`{"Name":"a","Items":[{},null],"Any":[1e400]}`))
	f.Add([]byte(`[1] 2`))
	f.Add(bytes.Repeat([]byte("["), 20_000))
	for _, v := range append(test.EdgeValues(), fullShipment()) {
		if msg, err := (JSON[any]{}).Append(nil, v); err == nil {
			f.Add(msg)
		}
	}
	type message struct {
		Name  string
		Int   int32
		When  time.Time
		Data  []byte
		Items []struct{ Any any }
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		stable(t, JSON[message]{}, msg, 1000)
		stable(t, JSON[[]message]{}, msg, 1000)
		stable(t, JSON[any]{}, msg, 1000)
	})
}

func FuzzRawDecode(f *testing.F) {
	for _, s := range test.EdgeStrings {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		stable(t, Raw{}, msg, 2)
		var v []byte
		if err := (Raw{}).Decode(msg, &v); err != nil || v == nil || !bytes.Equal(v, msg) {
			t.Errorf("got %x, %v; want %x", v, err, msg)
		}
	})
}

func FuzzBinaryDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("8 bytes."))
	f.Fuzz(func(t *testing.T, msg []byte) {
		stable(t, Binary[coordinates]{}, msg, 2)
		stable(t, Binary[*coordinates]{}, msg, 2)
	})
}

func stable[T any](t *testing.T, c Codec[T], msg []byte, perByte int) {
	t.Helper()
	test.Stable(t, c.Append, c.Decode, msg, perByte)
}
