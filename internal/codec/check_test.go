package codec

import (
	"encoding/json"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/fxamacker/cbor/v2"

	"github.com/go-gipc/gipc/internal/test"
)

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
	HasBig                  struct{ Big big.Int }
	halfCBOR                struct{ A int }
	halfJSON                struct{ A int }
	onlyDecode              struct{ A int }
)

func (halfCBOR) MarshalCBOR() ([]byte, error)    { return []byte{byteNull}, nil }
func (halfJSON) MarshalText() ([]byte, error)    { return nil, nil }
func (*onlyDecode) UnmarshalCBOR(b []byte) error { return nil }
func (*onlyDecode) UnmarshalJSON(b []byte) error { return nil }

const fine = "" // no error

func TestChecker(t *testing.T) {
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
	accepts[map[netip.Addr]int](t, fine, fine)
	accepts[shipment](t, fine, fine)

	const asBoth = " can't be encoded as "
	both := func(check func(*testing.T, string, string), prefix, why string) {
		t.Helper()
		check(t, prefix+asBoth+"CBOR"+why, prefix+asBoth+"JSON"+why)
	}
	both(accepts[Job], "Job.Done: chan int", "")
	both(accepts[*Job], "Job.Done: chan int", "")
	both(accepts[[]Job], "[]codec.Job[].Done: chan int", "")
	both(accepts[struct{ Parts []Part }], "struct { Parts []codec.Part }.Parts[].Func: func()", "")
	both(accepts[struct{ M map[string]*Part }], "struct { M map[string]*codec.Part }.M[value].Func: func()", "")
	both(accepts[treeOfChans], "treeOfChans.Done: chan int", "")
	both(accepts[chan int], "chan int", "")
	both(accepts[alert], "codec.alert", ": it is a chan")
	both(accepts[func()], "func()", "")
	both(accepts[complex64], "complex64", "")
	both(accepts[[3]complex128], "[3]complex128[]: complex128", "")
	both(accepts[unsafe.Pointer], "unsafe.Pointer", "")
	both(accepts[forever], "codec.forever", ": it points to nothing but pointers")
	both(accepts[sync.Mutex], "sync.Mutex", ": it has only unexported fields")
	both(accepts[struct{ Lock sync.Mutex }], "struct { Lock sync.Mutex }.Lock: sync.Mutex", ": it has only unexported fields")
	both(accepts[mute], "codec.mute", ": it has only unexported fields")
	both(accepts[hidden], "codec.hidden", ": it has only unexported fields")
	both(accepts[allSkipped], "codec.allSkipped", ": all its fields are left out by their tags")
	both(accepts[error], "error", ": an interface can't be decoded; send the error's text")
	both(accepts[struct{ Conn net.Conn }], "struct { Conn net.Conn }.Conn: net.Conn", ": an interface can't be decoded; use a concrete type")
	both(accepts[embedsUnexportedPointer], "embedsUnexportedPointer.shipmentBase: *codec.shipmentBase", ": an embedded pointer to an unexported type")

	accepts[uintptr](t, "uintptr can't be encoded as CBOR", fine)
	accepts[halfCBOR](t, "it has the method of cbor.Marshaler, but not that of cbor.Unmarshaler", fine)
	accepts[halfJSON](t, fine, "it has the method of encoding.TextMarshaler, but not that of encoding.TextUnmarshaler")
	accepts[shouted](t, "it has the method of encoding.BinaryMarshaler, but not", fine)
	accepts[map[any]int](t, fine, "a key of type interface {} has no text form")
	accepts[map[parcel]int](t, fine, "a key of type codec.parcel has no text form")
	accepts[map[[1]complex64]int](t, "map[[1]complex64]int[key][]: complex64 can't", "has no text form")
	accepts[big.Float](t, fine, fine)                                                                       // by its text
	accepts[map[string]big.Int](t, fine, "big.Int can't be encoded as JSON: it has only unexported fields") // no address there
	accepts[map[string]*big.Int](t, fine, fine)
	accepts[map[string]struct{ HasBig }](t, fine, ".HasBig.Big: big.Int can't be encoded as JSON")
	accepts[map[string]struct{ *HasBig }](t, fine, fine) // what a pointer leads to has one
	accepts[regexp.Regexp](t, fine, fine)
	accepts[url.URL](t, fine, "URL.User: url.Userinfo can't be encoded as JSON: it has only unexported fields")
}

// accepts wants the errors that T's check gives for CBOR and for JSON, or none, and that they stay the same when cached.
func accepts[T any](t *testing.T, inCBOR, inJSON string) {
	t.Helper()
	saysOf[T](t, inCBOR, anyCBOR)
	saysOf[T](t, inJSON, anyJSON)
}

var (
	anyCBOR = NewChecker(&CBOR, noHandle)
	anyJSON = NewChecker(&JSON, noHandle)
)

func noHandle(reflect.Type) (is bool, why string) { return false, "" }

func saysOf[T any](t *testing.T, want string, c *Checker) {
	t.Helper()
	for range 2 {
		err := c.Check(reflect.TypeFor[T]())
		if want == fine && err != nil {
			t.Errorf("%v: %v", reflect.TypeFor[T](), err)
		} else if want != fine {
			test.Says(t, err, want)
		}
	}
}

// outside is a handle, and forbidden one that may not be there. What they consist of has no encoding.
type (
	outside   struct{ C chan int }
	forbidden struct{ C chan int }
)

func TestCheckerLeavesHandlesAlone(t *testing.T) {
	c := NewChecker(&CBOR, func(t reflect.Type) (is bool, why string) {
		switch t {
		case reflect.TypeFor[*outside](), reflect.TypeFor[func(int)]():
			return true, ""
		case reflect.TypeFor[*forbidden]():
			return true, "leave it at home"
		case reflect.TypeFor[outside]():
			return false, "use a pointer" // no handle, but not to be sent either
		}
		return false, ""
	})
	saysOf[*outside](t, fine, c)
	saysOf[struct{ H func(int) }](t, fine, c)
	saysOf[struct{ H map[string][]**outside }](t, fine, c)
	saysOf[outside](t, "codec.outside can't be encoded as CBOR: use a pointer", c)
	saysOf[*forbidden](t, "*codec.forbidden can't be encoded as CBOR: leave it at home", c)
	saysOf[struct{ H []*forbidden }](t, ".H[]: *codec.forbidden can't be encoded as CBOR: leave it at home", c)
	saysOf[struct{ *Outside }](t, ".Outside: *codec.outside can't be encoded as CBOR: it is embedded; give it a field name", c)
	saysOf[struct{ *Forbidden }](t, ".Forbidden: *codec.forbidden can't be encoded as CBOR: leave it at home", c)
	saysOf[struct {
		*Outside `cbor:"named"`
	}](t, fine, c)
	saysOf[struct{ forbidden }](t, ".forbidden.C: chan int can't be encoded", c) // the type itself is no handle
}

type (
	Outside   = outside
	Forbidden = forbidden
)

// TestErrorsOfPointers: an error names the type that a pointer leads to, and the path from there.
func TestErrorsOfPointers(t *testing.T) {
	type Job struct{ Done chan int }
	for _, pointer := range []reflect.Type{reflect.TypeFor[Job](), reflect.TypeFor[*Job](), reflect.TypeFor[***Job]()} {
		if got := anyCBOR.Check(pointer); got == nil || !strings.HasPrefix(got.Error(), "Job.Done: chan int can't be encoded as CBOR: ") {
			t.Errorf("%v: %v", pointer, got)
		}
	}
}

// embedsItself has its own fields again, which an encoder leaves out.
type embedsItself struct {
	//lint:ignore U1000 it is there for the check
	*embedsItself
	Name string
}

func TestEmbeddingItselfEnds(t *testing.T) {
	accepts[embedsItself](t, fine, fine)
	arrives(t, embedsItself{Name: "a"})
}

func TestOmits(t *testing.T) {
	for _, c := range []struct {
		tag        reflect.StructTag
		cbor, json bool
	}{
		{``, false, false},
		{`cbor:"-"`, true, false},
		{`json:"-"`, true, true},
		{`cbor:"a" json:"-"`, false, true},
		{`cbor:"" json:"-"`, true, true},
		{`cbor:"-,"`, false, false},
	} {
		if CBOR.Omits(c.tag) != c.cbor || JSON.Omits(c.tag) != c.json {
			t.Errorf("%s: %v in CBOR, %v in JSON", c.tag, CBOR.Omits(c.tag), JSON.Omits(c.tag))
		}
	}
}

type (
	ownBinary  struct{ C chan int }
	halfBinary struct{ C chan int }
)

func (*ownBinary) AppendBinary(dst []byte) ([]byte, error) { return dst, nil }
func (*ownBinary) UnmarshalBinary(src []byte) error        { return nil }
func (halfBinary) AppendBinary(dst []byte) ([]byte, error) { return dst, nil }

func TestCheckBinary(t *testing.T) {
	test.Check(t, CheckBinary(reflect.TypeFor[ownBinary]()))
	test.Check(t, CheckBinary(reflect.TypeFor[*ownBinary]()))
	test.Says(t, CheckBinary(reflect.TypeFor[int]()), "int can't be encoded as Binary: *int is no encoding.BinaryAppender")
	test.Says(t, CheckBinary(reflect.TypeFor[*halfBinary]()), "*codec.halfBinary is no encoding.BinaryUnmarshaler")
	test.Says(t, CheckBinary(reflect.TypeFor[**ownBinary]()), "**codec.ownBinary is no encoding.BinaryAppender")
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
	accepts[T](t, fine, fine)
	var zero, got T
	arrives(t, zero)
	msg, err := json.Marshal(zero)
	test.Check(t, err)
	if err := json.Unmarshal(msg, &got); err != nil || !reflect.DeepEqual(got, zero) {
		t.Errorf("in JSON: got %+v, %v, want %+v", got, err, zero)
	}
}
