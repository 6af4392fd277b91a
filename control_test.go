package gipc

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/go-gipc/gipc/internal/pack"
	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/test"
)

// fillAll sets everything that v holds to something else than zero, and different numbers.
func fillAll(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fillAll(t, v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillAll(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillAll(t, v.Index(0), n)
		fillAll(t, v.Index(1), n)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(-*n))
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(uint64(*n) % 256)
	default:
		t.Fatalf("a field of type %v: Fields must handle it, and so must this test", v.Type())
	}
}

// A field that is missing in Fields would not travel.
func TestAllFieldsOfTheControlChannelTravel(t *testing.T) {
	for _, m := range []struct{ sent, got pack.Message }{
		{new(hello), new(hello)}, {new(order), new(order)}, {new(report), new(report)},
	} {
		n := 0
		fillAll(t, reflect.ValueOf(m.sent).Elem(), &n)
		test.Check(t, pack.Parse(pack.Append(nil, m.sent), m.got))
		if !reflect.DeepEqual(m.sent, m.got) {
			t.Errorf("sent %+v\ngot  %+v", m.sent, m.got)
		}
	}
	var none hello
	test.Check(t, pack.Parse(pack.Append(nil, new(hello)), &none))
	test.Equal(t, none.Limits, nil)
}

// A hello of another version has other fields behind the first two.
func TestHelloOfAnotherVersionIsRefused(t *testing.T) {
	for build, want := range map[string]refusal{"another": refusedBuild, proc.BuildID(): refusedArgs} {
		other := pack.Append(nil, &hello{Build: build})
		var b beginning
		b.unreadable = pack.Parse(append(other, "something new"...), &b.hello)
		_, refused := new(childSide).prepare(b)
		if refused == nil || refused.Refused != want {
			t.Errorf("%q: %+v", build, refused)
		}
	}
}
