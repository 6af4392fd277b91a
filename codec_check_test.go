package gipc

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/fxamacker/cbor/v2"
)

// end stands for a channel end. It embeds the interface so as to have its method, whatever that is called.
type end[T any] struct {
	movable
	_ *T
}

type (
	alert   chan int
	forever *forever
	tree    struct {
		Left, Right *tree
		Any         any
	}
	treeOfChans struct {
		Children []treeOfChans
		Done     chan int
	}
	withMutex struct {
		sync.Mutex
		Name string
	}
	//lint:ignore U1000 fields that nobody could set are what is tested
	hidden  struct{ a, b int }
	mute    struct{ sync.Mutex }
	skipped struct {
		Done chan int `cbor:"-" json:"-"`
		Name string
	}
	jsonSkipped struct {
		Done chan int `json:"-"`
		Name string
	}
	allSkipped struct {
		Done chan int `cbor:"-" json:"-"`
	}
	embedsUnexported        struct{ shipmentBase }
	embedsUnexportedPointer struct{ *shipmentBase }
	embeddedEnd             struct {
		*end[int]
		Name string
	}
	embedsFile struct {
		*os.File
		Name string
	}
	halfCBOR   struct{ A int }
	halfJSON   struct{ A int }
	onlyDecode struct{ A int }
)

func (halfCBOR) MarshalCBOR() ([]byte, error)    { return []byte{byteNull}, nil }
func (halfJSON) MarshalText() ([]byte, error)    { return nil, nil }
func (*onlyDecode) UnmarshalCBOR(b []byte) error { return nil }
func (*onlyDecode) UnmarshalJSON(b []byte) error { return nil }

const fine = "" // no error

func TestCheckCodec(t *testing.T) {
	type Part struct{ Func func() }
	type Job struct {
		Name   string
		Done   chan int
		Parts  []Part
		ByName map[string]Part
	}
	accepts[int](t, fine, fine)
	accepts[any](t, fine, fine)
	accepts[string](t, fine, fine)
	accepts[struct{}](t, fine, fine)
	accepts[[]*map[string][2]any](t, fine, fine)
	accepts[time.Time](t, fine, fine)
	accepts[*big.Int](t, fine, fine)
	accepts[tree](t, fine, fine)
	accepts[withMutex](t, fine, fine)
	accepts[skipped](t, fine, fine)
	accepts[jsonSkipped](t, fine, fine) // CBOR reads json tags where there are none of its own
	accepts[embedsUnexported](t, fine, fine)
	accepts[onlyDecode](t, fine, fine)
	accepts[netip.Addr](t, fine, fine)
	accepts[cbor.Tag](t, fine, fine)
	accepts[cbor.RawMessage](t, fine, fine)
	accepts[json.RawMessage](t, fine, fine)
	accepts[*end[int]](t, fine, fine) // refused at Put
	accepts[struct{ End *end[int] }](t, fine, fine)
	accepts[map[netip.Addr]int](t, fine, fine)
	accepts[shipment](t, fine, fine)

	const asBoth = " can't be encoded as "
	both := func(check func(*testing.T, string, string), prefix, why string) {
		t.Helper()
		check(t, prefix+asBoth+"CBOR"+why, prefix+asBoth+"JSON"+why)
	}
	both(accepts[Job], "Job.Done: chan int", "")
	both(accepts[*Job], "Job.Done: chan int", "")
	both(accepts[[]Job], "[]gipc.Job[].Done: chan int", "")
	both(accepts[struct{ Parts []Part }], "struct { Parts []gipc.Part }.Parts[].Func: func()", "")
	both(accepts[struct{ M map[string]*Part }], "struct { M map[string]*gipc.Part }.M[value].Func: func()", "")
	both(accepts[treeOfChans], "treeOfChans.Done: chan int", "")
	both(accepts[chan int], "chan int", "")
	both(accepts[alert], "gipc.alert", ": it is a chan")
	both(accepts[func()], "func()", "")
	both(accepts[complex64], "complex64", "")
	both(accepts[[3]complex128], "[3]complex128[]: complex128", "")
	both(accepts[unsafe.Pointer], "unsafe.Pointer", "")
	both(accepts[forever], "gipc.forever", ": it points to nothing but pointers")
	both(accepts[sync.Mutex], "sync.Mutex", ": it has only unexported fields")
	both(accepts[struct{ Lock sync.Mutex }], "struct { Lock sync.Mutex }.Lock: sync.Mutex", ": it has only unexported fields")
	both(accepts[mute], "gipc.mute", ": it has only unexported fields")
	both(accepts[hidden], "gipc.hidden", ": it has only unexported fields")
	both(accepts[allSkipped], "gipc.allSkipped", ": all its fields are left out by their tags")
	both(accepts[error], "error", ": an interface can't be decoded; send the error's text")
	both(accepts[struct{ Conn net.Conn }], "struct { Conn net.Conn }.Conn: net.Conn", ": an interface can't be decoded; use a concrete type")
	both(accepts[*os.File], "*os.File", ": hand files over in Spawn's args")
	both(accepts[end[int]], "gipc.end[int]", ": use a pointer, *gipc.end[int]")
	both(accepts[embeddedEnd], "gipc.embeddedEnd", ": give the channel end that it embeds a field name")
	both(accepts[embedsUnexportedPointer], "embedsUnexportedPointer.shipmentBase: *gipc.shipmentBase", ": an embedded pointer to an unexported type")

	accepts[uintptr](t, "uintptr can't be encoded as CBOR", fine)
	accepts[halfCBOR](t, "it has the method of cbor.Marshaler, but not that of cbor.Unmarshaler", fine)
	accepts[halfJSON](t, fine, "it has the method of encoding.TextMarshaler, but not that of encoding.TextUnmarshaler")
	accepts[shouted](t, "it has the method of encoding.BinaryMarshaler, but not", fine)
	accepts[map[any]int](t, fine, "a key of type interface {} has no text form")
	accepts[map[parcel]int](t, fine, "a key of type gipc.parcel has no text form")
	accepts[map[[1]complex64]int](t, "map[[1]complex64]int[key][]: complex64 can't", "has no text form")
	accepts[big.Float](t, "big.Float can't be encoded as CBOR: it has only unexported fields", fine)
	accepts[map[string]big.Int](t, fine, "big.Int can't be encoded as JSON: it has only unexported fields") // no address there
	accepts[map[string]*big.Int](t, fine, fine)
	accepts[regexp.Regexp](t, "it has only unexported fields", fine)
	accepts[url.URL](t, fine, "URL.User: url.Userinfo can't be encoded as JSON: it has only unexported fields")
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
	if got := checkCodec(CBOR[Job]{}).Error(); got != "Job.Done: chan int can't be encoded as CBOR" {
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
		err := checkArgs(reflect.TypeOf(test.args))
		if test.want == fine && err != nil {
			t.Errorf("%T: %v", test.args, err)
		} else if test.want != fine {
			wantError(t, err, test.want)
		}
	}
}

// TestCheckedTypesEncode wants that what the check lets through as a zero value, the codecs do encode.
func TestCheckedTypesEncode(t *testing.T) {
	encodesZero[tree](t)
	encodesZero[withMutex](t)
	encodesZero[skipped](t)
	encodesZero[embedsUnexported](t)
	encodesZero[netip.Addr](t)
	encodesZero[map[netip.Addr]int](t)
	encodesZero[[]*map[string][2]any](t)
}

func encodesZero[T any](t *testing.T) {
	t.Helper()
	var zero T
	roundTrip(CBOR[T]{}, zero, zero)(t)
	roundTrip(JSON[T]{}, zero, zero)(t)
}
