package gipc_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-gipc/gipc"
)

type Photo struct {
	Name  string    `json:"name"`
	Taken time.Time `json:"taken"`
	Size  int       `json:"size,omitempty"`
}

func ExampleCBOR() {
	photo := Photo{Name: "cat.jpg", Taken: time.Date(2024, 5, 1, 12, 0, 0, 5, time.UTC), Size: 1024}

	var codec gipc.CBOR[Photo] // what a channel uses without Options.Codec
	msg, err := codec.Append(nil, photo)
	if err != nil {
		log.Fatal(err)
	}

	var got Photo
	if err := codec.Decode(msg, &got); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(msg), "bytes:", got.Name, got.Taken.Nanosecond(), got.Size)
	// Output: 61 bytes: cat.jpg 5 1024
}

func ExampleJSON() {
	var codec gipc.JSON[Photo]
	msg, err := codec.Append(nil, Photo{Name: "cat & dog.jpg"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", msg)
	// Output: {"name":"cat & dog.jpg","taken":"0001-01-01T00:00:00Z"}
}

func ExampleRaw() {
	buffer := make([]byte, 0, 64)
	if err := (gipc.Raw{}).Decode([]byte("a message"), &buffer); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, in the buffer's memory: %d\n", buffer, cap(buffer))
	// Output: a message, in the buffer's memory: 64
}

// Pixel has a compact encoding of its own, which Binary uses.
type Pixel struct{ X, Y uint32 }

func (p Pixel) AppendBinary(dst []byte) ([]byte, error) {
	dst = binary.BigEndian.AppendUint32(dst, p.X)
	return binary.BigEndian.AppendUint32(dst, p.Y), nil
}

func (p *Pixel) UnmarshalBinary(src []byte) error {
	if len(src) != 8 {
		return errors.New("a Pixel has 8 bytes")
	}
	p.X, p.Y = binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(src[4:])
	return nil
}

func ExampleBinary() {
	var codec gipc.Binary[Pixel]
	msg, err := codec.Append(nil, Pixel{1, 258})
	if err != nil {
		log.Fatal(err)
	}

	var got Pixel
	if err := codec.Decode(msg, &got); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%x %v\n", msg, got)
	// Output: 0000000100000102 {1 258}
}

func ExampleCodecFunc() {
	celsius := gipc.CodecFunc("tenths-of-degrees",
		func(dst []byte, degrees float64) ([]byte, error) {
			return binary.AppendVarint(dst, int64(degrees*10)), nil
		},
		func(src []byte, degrees *float64) error {
			tenths, n := binary.Varint(src)
			if n != len(src) || n == 0 {
				return errors.New("not one varint")
			}
			*degrees = float64(tenths) / 10
			return nil
		})

	msg, err := celsius.Append(nil, 36.6)
	if err != nil {
		log.Fatal(err)
	}
	var degrees float64
	if err := celsius.Decode(msg, &degrees); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(msg), "bytes:", degrees)
	// Output: 2 bytes: 36.6
}

// Lines sends strings as they are.
var Lines = gipc.CodecFunc("lines",
	func(dst []byte, line string) ([]byte, error) { return append(dst, line...), nil },
	func(src []byte, line *string) error { *line = string(src); return nil })

// Registered in an init function, the codec is known in the parent and in every child,
// and a channel with gipc.Options[string]{Codec: Lines} can be handed to one.
func init() { gipc.RegisterCodec(Lines) }

func ExampleRegisterCodec() {
	msg, err := Lines.Append(nil, "as it is")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", Lines.Name(), msg)
	// Output: lines: as it is
}
