package gipc

import (
	"bytes"
	"net"
	"os"
	"reflect"
	"testing"
)

// end stands for a channel end. It embeds the interface so as to have its method, whatever that is called.
type end[T any] struct {
	movable
	_ *T
}

type (
	embeddedEnd struct {
		*end[int]
		Name string
	}
	embedsFile struct {
		*os.File
		Name string
	}
)

const fine = "" // no error

// TestCheckCodec wants that a codec is asked about by its own rules, and what it says of ends and files.
func TestCheckCodec(t *testing.T) {
	type Job struct{ Done chan int }
	accepts[shipment](t, fine, fine)
	accepts[struct{ End *end[int] }](t, fine, fine) // refused at Put, unless it is nil
	const inArgs = "a channel end can't travel inside a message: hand it over in the arguments of Spawn"
	accepts[*end[int]](t, inArgs, inArgs)
	accepts[**Reader[int]](t, inArgs, inArgs)
	accepts[*Duplex[int, int]](t, inArgs, inArgs)
	accepts[uintptr](t, "uintptr can't be encoded as CBOR", fine)
	accepts[map[parcel]int](t, fine, "a key of type gipc.parcel has no text form")

	both := func(check func(*testing.T, string, string), prefix, why string) {
		t.Helper()
		check(t, prefix+" can't be encoded as CBOR"+why, prefix+" can't be encoded as JSON"+why)
	}
	both(accepts[Job], "Job.Done: chan int", "")
	both(accepts[*os.File], "*os.File", ": hand files over in Spawn's args")
	both(accepts[end[int]], "gipc.end[int]", ": use a pointer, *gipc.end[int]")
	both(accepts[embeddedEnd], "gipc.embeddedEnd", ": give the channel end that it embeds a field name")
}

// accepts wants the errors that T's check gives for CBOR and for JSON, or none, and that they stay the same when cached.
func accepts[T any](t *testing.T, inCBOR, inJSON string) {
	t.Helper()
	for range 2 {
		for _, test := range []struct {
			codec Codec[T]
			want  string
		}{{CBOR[T]{}, inCBOR}, {&CBOR[T]{}, inCBOR}, {JSON[T]{}, inJSON}} {
			err := checkCodec(test.codec)
			if test.want == fine && err != nil {
				t.Errorf("%T: %v", test.codec, err)
			} else if test.want != fine {
				wantError(t, err, test.want)
			}
		}
	}
}

func TestCheckCodecExactText(t *testing.T) {
	type Job struct{ Done chan int }
	if got := checkCodec(CBOR[Job]{}).Error(); got != "Job.Done: chan int can't be encoded as CBOR: leave it out by a tag `cbor:\"-\"`, or use another type or codec" {
		t.Error(got)
	}
}

func TestCheckOtherCodecs(t *testing.T) {
	if err := checkCodec(Codec[coordinates](Binary[coordinates]{})); err != nil {
		t.Error(err)
	}
	if err := checkCodec(Codec[*coordinates](Binary[*coordinates]{})); err != nil {
		t.Error(err)
	}
	if err := checkCodec[[]byte](Raw{}); err != nil {
		t.Error(err)
	}
	if err := checkCodec(CodecFunc("check", func(dst []byte, v chan int) ([]byte, error) { return dst, nil },
		func(src []byte, v *chan int) error { return nil })); err != nil {
		t.Errorf("a user's codec: %v", err)
	}
	wantError(t, checkCodec(Codec[int](Binary[int]{})), "int can't be encoded as Binary: *int is no encoding.BinaryAppender")
	wantError(t, checkCodec(Codec[bytes.Buffer](Binary[bytes.Buffer]{})), "is no encoding.BinaryAppender")
}

func TestCheckArgs(t *testing.T) {
	type Job struct{ Done chan int }
	for _, test := range []struct {
		args any
		want string
	}{
		{1, fine},
		{&end[int]{}, fine},
		{struct {
			Ends  []*end[int]
			Files map[string]*os.File
			Next  **end[string]
		}{}, fine},
		{embeddedEnd{}, "gipc.embeddedEnd can't be encoded as CBOR: give the channel end that it embeds a field name"},
		{embedsFile{}, "embedsFile.File: *os.File can't be encoded as CBOR: it is embedded; give it a field name"},
		{end[int]{}, "use a pointer, *gipc.end[int]"},
		{struct{ F os.File }{}, ".F: os.File can't be encoded as CBOR: use a pointer, *os.File"},
		{&net.TCPListener{}, "hand over the *os.File that its File method returns"},
		{Job{}, "Job.Done: chan int can't be encoded as CBOR"},
	} {
		err := cborArgs.Check(reflect.TypeOf(test.args))
		if test.want == fine && err != nil {
			t.Errorf("%T: %v", test.args, err)
		} else if test.want != fine {
			wantError(t, err, test.want)
		}
	}
}
