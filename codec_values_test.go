package gipc

import (
	"reflect"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// TestOtherProgramsMessages: what gipc doesn't write stands for what the comment of CBOR says.
func TestOtherProgramsMessages(t *testing.T) {
	type message struct {
		N int
		P parcel
		A [2]int
	}
	v := message{9, parcel{"old", 9}, [2]int{9, 9}}
	test.Check(t, CBOR[message]{}.Decode([]byte("\xa3\x61N\xf6\x61P\xf6\x61A\x83\x01\x02\x03"), &v))
	if v.N != 0 || v.P != (parcel{}) || v.A != [2]int{1, 2} {
		t.Errorf("got %+v", v)
	}
}

// TestPointersToNothing: what such a pointer leads to is written as null is.
func TestPointersToNothing(t *testing.T) {
	type pointers struct {
		Slice *[]int
		Map   *map[string]int
		Time  *time.Time
		Next  **int
	}
	put := pointers{new([]int), new(map[string]int), new(time.Time), new(*int)}
	roundTrip(CBOR[pointers]{}, put, pointers{})(t)
	roundTrip(JSON[pointers]{}, put, pointers{Time: new(time.Time)})(t)
}

// halfSet decodes only what is not zero.
type halfSet struct {
	A, B  byte
	Items []byte
}

func (h halfSet) AppendBinary(dst []byte) ([]byte, error) {
	return append(append(dst, h.A), h.Items...), nil
}

func (h *halfSet) UnmarshalBinary(src []byte) error {
	if src[0] != 0 {
		h.A = src[0]
	}
	h.Items = append(h.Items, src[1:]...)
	return nil
}

// TestBinaryIntoUsed: a type's own method gets a value that is as good as new.
func TestBinaryIntoUsed(t *testing.T) {
	for _, c := range []struct{ put, want halfSet }{
		{halfSet{}, halfSet{}},
		{halfSet{A: 1, Items: []byte{5}}, halfSet{A: 1, Items: []byte{5}}},
	} {
		used := halfSet{7, 8, []byte{1, 2, 3}}
		memory := &used.Items[0]
		mustDecode(t, Codec[halfSet](Binary[halfSet]{}), c.put, &used)
		if !reflect.DeepEqual(used, c.want) {
			t.Errorf("got %+v, want %+v", used, c.want)
		}
		if len(used.Items) > 0 && &used.Items[0] != memory {
			t.Error("the memory of the slice was not used again")
		}
		pointer := &halfSet{7, 8, []byte{1, 2, 3}}
		mustDecode(t, Codec[*halfSet](Binary[*halfSet]{}), &c.put, &pointer)
		if !reflect.DeepEqual(*pointer, c.want) {
			t.Errorf("through a pointer: got %+v, want %+v", *pointer, c.want)
		}
	}
}
