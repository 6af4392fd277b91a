package gipc

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestEncodeErrors(t *testing.T) {
	_, err := CBOR[any]{}.Append(nil, make(chan int))
	wantError(t, err, "unsupported type")
	ring := &shipment{}
	ring.Parent = ring
	_, err = CBOR[*shipment]{}.Append(nil, ring)
	wantError(t, err, "contains itself")
	_, err = CBOR[time.Time]{}.Append(nil, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))
	wantError(t, err, "year outside")
	_, err = JSON[float64]{}.Append(nil, math.NaN())
	wantError(t, err, "unsupported value")
	_, err = JSON[float64]{}.Append(nil, 1.5)
	if err != nil {
		t.Errorf("an encoder remembers an earlier error: %v", err)
	}
	_, err = Binary[*coordinates]{}.Append(nil, nil)
	wantError(t, err, "a nil *gipc.coordinates")
	_, err = Binary[int]{}.Append(nil, 1)
	wantError(t, err, "is no encoding.BinaryAppender")
	wantError(t, Binary[int]{}.Decode(nil, new(int)), "is no encoding.BinaryAppender")
	wantError(t, JSON[int]{}.Decode([]byte("1 2"), new(int)), "after top-level value")
	wantError(t, Binary[halfBinary]{}.Decode(nil, new(halfBinary)), "is no encoding.BinaryUnmarshaler")
}

// halfBinary can't be decoded.
type halfBinary struct{}

func (halfBinary) AppendBinary(dst []byte) ([]byte, error) { return dst, nil }

func TestAllocations(t *testing.T) {
	allocatesNothing(t, CBOR[int]{}, 1_000_000)
	allocatesNothing(t, CBOR[uint8]{}, 200)
	allocatesNothing(t, CBOR[level]{}, -100)
	allocatesNothing(t, CBOR[bool]{}, true)
	allocatesNothing(t, CBOR[float32]{}, 1.5)
	allocatesNothing(t, CBOR[float64]{}, math.Pi)
	allocatesNothing(t, CBOR[time.Duration]{}, time.Hour)
	allocatesNothing(t, CBOR[string]{}, "the same string again")
	allocatesNothing(t, CBOR[[]byte]{}, make([]byte, 1000))
	allocatesNothing(t, CBOR[blob]{}, make([]byte, 1000))
	allocatesNothing(t, Raw{}, make([]byte, 1000))
	allocatesNothing(t, Binary[coordinates]{}, coordinates{1, 2})
	allocatesNothing(t, Binary[*coordinates]{}, &coordinates{1, 2})
	allocatesNothing(t, CBOR[[]int]{}, []int{1, 2, 3})
	type list struct {
		Items []int
		N     int
	}
	allocatesNothing(t, CBOR[list]{}, list{[]int{1}, 2})
	allocatesNothing(t, CBOR[struct{ A, B int }]{}, struct{ A, B int }{1, 2})

	var s string
	msg := [2][]byte{append([]byte{0x78, 30}, strings.Repeat("a", 30)...), append([]byte{0x78, 30}, strings.Repeat("b", 30)...)}
	i := 0
	if n := testing.AllocsPerRun(100, func() { i++; _ = CBOR[string]{}.Decode(msg[i%2], &s) }); n != 1 {
		t.Errorf("a changed string: %v allocations, want its own", n)
	}
}

// allocatesNothing wants that v, once it has been sent, costs no allocation to be sent and received again.
func allocatesNothing[T any](t *testing.T, c Codec[T], v T) {
	t.Helper()
	dst := make([]byte, 0, 2048)
	var into T
	var err error
	if n := testing.AllocsPerRun(100, func() { dst, err = c.Append(dst[:0], v) }); n != 0 || err != nil {
		t.Errorf("%T: Append allocates %v times, %v", c, n, err)
	}
	if n := testing.AllocsPerRun(100, func() { err = c.Decode(dst, &into) }); n != 0 || err != nil {
		t.Errorf("%T: Decode allocates %v times, %v", c, n, err)
	}
	if !reflect.DeepEqual(into, v) {
		t.Errorf("%T: got %v, want %v", c, into, v)
	}
}
