package gipc

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"reflect"
	"sync/atomic"
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
	accepts[uintptr](t, "uintptr can't be encoded as CBOR", fine)
	accepts[map[parcel]int](t, fine, "a key of type gipc.parcel has no text form")

	both := func(check func(*testing.T, string, string), prefix, why string) {
		t.Helper()
		check(t, prefix+" can't be encoded as CBOR"+why, prefix+" can't be encoded as JSON"+why)
	}
	both(accepts[Job], "Job.Done: chan int", "")
	const inArgs = ": a channel end can't travel inside a message: hand it over in the arguments of Spawn"
	type holder struct{ R *Reader[int] }
	type leaves struct {
		N int
		R *Reader[int] `cbor:"-" json:"-"`
		//lint:ignore U1000 the field is not sent
		w *Writer[int]
	}
	accepts[leaves](t, fine, fine)
	accepts[shipment](t, fine, fine) // an any may hold an end: Put refuses that
	both(accepts[*end[int]], "*gipc.end[int]", inArgs)
	both(accepts[**Reader[int]], "*gipc.Reader[int]", inArgs)
	both(accepts[*Duplex[int, int]], "*gipc.Duplex[int,int]", inArgs)
	both(accepts[holder], "holder.R: *gipc.Reader[int]", inArgs)
	both(accepts[[]holder], "[]gipc.holder[].R: *gipc.Reader[int]", inArgs)
	both(accepts[map[string]*Writer[int]], "[value]: *gipc.Writer[int]", inArgs)
	both(accepts[*os.File], "*os.File", ": hand files over in Spawn's args")
	both(accepts[end[int]], "gipc.end[int]", inArgs)
	both(accepts[embeddedEnd], "gipc.embeddedEnd", inArgs)
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

// TestRefusalsSayWhatHelps holds complete texts.
func TestRefusalsSayWhatHelps(t *testing.T) {
	type job struct {
		Done  chan int
		Count atomic.Int64
	}
	says := func(err error, want string) {
		t.Helper()
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	says(checkCodec(CBOR[job]{}), "job.Done: chan int can't be encoded as CBOR: use another type or codec, or leave it out by a tag `cbor:\"-\"`")
	says(checkCodec(JSON[complex128]{}), "complex128 can't be encoded as JSON: use another type or codec")
	says(checkCodec(CBOR[[]*atomic.Int64]{}), "[]*atomic.Int64[]: atomic.Int64 can't be encoded as CBOR: "+
		"it has only unexported fields, so nothing of it would be sent: export its fields, "+
		"or give it, or a type around it, the methods MarshalBinary and UnmarshalBinary, or leave it out by a tag `cbor:\"-\"`")
	says(checkCodec(CBOR[inJSON]{}), "gipc.inJSON can't be encoded as CBOR: it has only unexported fields, so nothing of it would be sent: "+
		"use the codec JSON, for which it has methods, or export its fields, "+
		"or give it, or a type around it, the methods MarshalBinary and UnmarshalBinary")
	says(checkCodec(CBOR[twice]{}), "gipc.twice can't be encoded as CBOR: its fields A and B are both called \"x\" in a message, "+
		"so that one or both would not be sent: give them different names by their tags")
	_, err := CBOR[any]{}.Append(nil, errors.New("text"))
	says(err, "errors.errorString can't be encoded as CBOR: it has only unexported fields, so nothing of it would be sent: "+
		"put what it stands for instead, a string for example")
}

type (
	//lint:ignore U1000 the field is not sent
	inJSON struct{ text string }
	twice  struct {
		A int `cbor:"x"`
		B int `json:"x"`
	}
)

func (v inJSON) MarshalJSON() ([]byte, error)     { return json.Marshal(v.text) }
func (v *inJSON) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, &v.text) }

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
