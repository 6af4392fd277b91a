package pack

import (
	"math"
	"reflect"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

type all struct {
	N    uint64
	I    int
	L    int64
	B    bool
	S    string
	Raw  []byte
	List []string
	Many []element
}

type element struct{ Raw []byte }

func (a *all) Fields(f *Fields) {
	Uint(f, &a.N)
	Int(f, &a.I)
	Int(f, &a.L)
	Bool(f, &a.B)
	Text(f, &a.S)
	Text(f, &a.Raw)
	List(f, &a.List, func(s *string) { Text(f, s) })
	List(f, &a.Many, func(e *element) { Text(f, &e.Raw) })
}

var samples = []all{
	{},
	{math.MaxUint64, math.MinInt, math.MinInt64, true, "\x00é", []byte{0, 255}, []string{"", "x"}, []element{{}, {[]byte("y")}}},
	{1, math.MaxInt, math.MaxInt64, false, "", nil, nil, []element{{}}},
}

func TestWhatIsAppendedIsParsed(t *testing.T) {
	for _, sent := range samples {
		got := samples[1] // nothing of it may be left
		test.Check(t, Parse(Append([]byte("before"), &sent)[len("before"):], &got))
		if !reflect.DeepEqual(got, sent) {
			t.Errorf("sent %+v\ngot  %+v", sent, got)
		}
	}
}

func TestParseKeepsNoReference(t *testing.T) {
	b := Append(nil, &samples[1])
	var got all
	test.Check(t, Parse(b, &got))
	clear(b)
	if !reflect.DeepEqual(got, samples[1]) {
		t.Errorf("%+v", got)
	}
}

// What comes before the end can be told.
func TestCutOrLongMessagesAreErrors(t *testing.T) {
	whole := Append(nil, &samples[1])
	for n := range whole {
		var got all
		if Parse(whole[:n], &got) == nil {
			t.Errorf("%d of %d bytes are enough", n, len(whole))
		}
	}
	var got all
	if Parse(append(whole, 0), &got) == nil {
		t.Error("a byte too many is not seen")
	}
	test.Equal(t, got.N, samples[1].N)
}

func FuzzParse(f *testing.F) {
	for _, s := range samples {
		f.Add(Append(nil, &s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var got, again all
		const perByte = 256 // an element of a list takes one, and the list grows by doubling
		limit := uint64(perByte*len(src) + 4<<10)
		var err error
		if n := test.Allocates(limit, func() { err = Parse(src, &got) }); n > limit {
			t.Fatalf("%d bytes allocated for %d", n, len(src))
		}
		if err != nil {
			return
		}
		test.Check(t, Parse(Append(nil, &got), &again))
		if !reflect.DeepEqual(got, again) {
			t.Errorf("%+v\n%+v", got, again)
		}
	})
}
