package gipc

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
)

func TestNames(t *testing.T) {
	got := []string{CBOR[int]{}.Name(), JSON[int]{}.Name(), Raw{}.Name(), Binary[int]{}.Name(), upper.Name()}
	want := []string{"cbor", "json", "raw", "binary", "upper"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q: names travel between processes and must not change", got, want)
	}
}

// upper is a user's codec.
var upper = CodecFunc("upper",
	func(dst []byte, v string) ([]byte, error) { return append(dst, strings.ToUpper(v)...), nil },
	func(src []byte, v *string) error { *v = strings.ToLower(string(src)); return nil })

func init() { RegisterCodec(upper) }

// renamed wraps a codec of this package, Name included or replaced.
type renamed struct {
	CBOR[string]
	name string
}

func (r renamed) Name() string { return r.name }

func TestCodecTravels(t *testing.T) {
	for _, c := range []Codec[string]{CBOR[string]{}, &CBOR[string]{}, JSON[string]{}, Binary[string]{}, upper} {
		if err := codecTravels(c); err != nil {
			t.Errorf("%T: %v", c, err)
			continue
		}
		found, err := codecByName[string](c.Name())
		if err != nil || found.Name() != c.Name() {
			t.Errorf("%T: found %v, %v", c, found, err)
		}
	}
	if err := codecTravels[[]byte](Raw{}); err != nil {
		t.Error(err)
	}
	if c, err := codecByName[[]byte]("raw"); c != (Raw{}) {
		t.Errorf("got %T, %v; want Raw", c, err)
	}
	impostor := CodecFunc("upper", upper.(*funcCodec[string]).appendTo, upper.(*funcCodec[string]).decode)
	for _, test := range []struct {
		codec Codec[string]
		want  string
	}{
		{renamed{name: "cbor"}, "the name of gipc's own codec"},
		{struct{ Codec[string] }{JSON[string]{}}, "the name of gipc's own codec"},
		{renamed{name: "mine"}, `codec "mine" is not registered: call gipc.RegisterCodec[string] at start-up`},
		{renamed{name: ""}, "is not registered"},
		{renamed{name: "upper"}, "is not the one"},
		{impostor, "is not the one"},
	} {
		wantError(t, codecTravels(test.codec), test.want)
	}
	_, err := codecByName[string]("raw")
	wantError(t, err, "is for []byte, not for string")
	_, err = codecByName[int]("upper") // registered for string alone
	wantError(t, err, `codec "upper" is not registered`)
}

// registryRuns makes a new name for each run of the test: what is registered stays.
var registryRuns atomic.Int32

func TestRegistryPanics(t *testing.T) {
	appendTo := func(dst []byte, v int) ([]byte, error) { return dst, nil }
	decode := func(src []byte, v *int) error { return nil }
	once := CodecFunc(fmt.Sprint("registry-panics-", registryRuns.Add(1)), appendTo, decode)
	RegisterCodec(once)
	for _, test := range []struct {
		name, want string
		call       func()
	}{
		{"empty name", "empty name", func() { CodecFunc("", appendTo, decode) }},
		{"own name", `"json" is the name of gipc's own codec`, func() { CodecFunc("json", appendTo, decode) }},
		{"nil append", "a function is nil", func() { CodecFunc("x", nil, decode) }},
		{"nil decode", "a function is nil", func() { CodecFunc("x", appendTo, nil) }},
		{"nil codec", "the codec is nil", func() { RegisterCodec[int](nil) }},
		{"built-in", `"cbor" is the name`, func() { RegisterCodec[int](CBOR[int]{}) }},
		{"unnamed", "empty name", func() { RegisterCodec[string](renamed{}) }},
		{"twice", "registered already", func() { RegisterCodec(once) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer func() { wantError(t, fmt.Errorf("%v", recover()), test.want) }()
			test.call()
		})
	}
}
