package ends

import (
	"os"
	"reflect"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// end is what the ends of these tests have in common.
type end interface{ isEnd() }

// Reader has a Close alone, Writer has a CloseNow too. Both count how often they are closed, and how.
type (
	Reader[T any] struct {
		Name   string
		closed int
		_      *T
	}
	Writer struct {
		Name              string
		closed, closedNow int
	}
)

func (*Reader[T]) isEnd()         {}
func (r *Reader[T]) Close() error { r.closed++; return os.ErrClosed }
func (*Writer) isEnd()            {}
func (w *Writer) Close() error    { w.closed++; return nil }
func (w *Writer) CloseNow() error { w.closedNow++; return os.ErrClosed }

func reader(name string) *Reader[int] { return &Reader[int]{Name: name} }
func writer(name string) *Writer      { return &Writer{Name: name} }

var finder = NewFinder(reflect.TypeFor[end]())

// found are the paths and names of what Walk visits.
func found(t *testing.T, v any) (paths, names []string) {
	t.Helper()
	test.Check(t, finder.Walk(reflect.ValueOf(v), func(v any, path string) error {
		paths = append(paths, path)
		if f, ok := v.(*os.File); ok {
			names = append(names, f.Name())
		} else {
			names = append(names, reflect.ValueOf(v).Elem().FieldByName("Name").String())
		}
		return nil
	}))
	return paths, names
}

// walkError is what Walk says of v. Visiting is no error.
func walkError(v any) error {
	return finder.Walk(reflect.ValueOf(v), func(any, string) error { return nil })
}

func TestInMessageAndInArgs(t *testing.T) {
	const (
		pointer   = "use a pointer, *"
		embeds    = "give the channel end that it embeds a field name"
		handOver  = "hand files over in Spawn's args"
		itsMethod = "hand over the *os.File that its File method returns"
	)
	type answer struct {
		is  bool
		why string
	}
	none, fine, inMessage := answer{}, answer{true, ""}, answer{true, InMessage}
	for _, c := range []struct {
		typ               reflect.Type
		inMessage, inArgs answer
	}{
		{reflect.TypeFor[int](), none, none},
		{reflect.TypeFor[*int](), none, none},
		{reflect.TypeFor[any](), none, none},
		{reflect.TypeFor[[]*Writer](), none, none}, // its elements are asked about
		{reflect.TypeFor[struct{ W *Writer }](), none, none},
		{reflect.TypeFor[*Writer](), inMessage, fine},
		{reflect.TypeFor[**Writer](), none, none},
		{reflect.TypeFor[*Reader[string]](), inMessage, fine},
		{reflect.TypeFor[*duplex](), inMessage, fine},
		{reflect.TypeFor[Writer](), inMessage, answer{true, pointer + "ends.Writer"}},
		{reflect.TypeFor[Reader[string]](), inMessage, answer{true, pointer + "ends.Reader[string]"}},
		{reflect.TypeFor[embedsEnd](), inMessage, answer{true, embeds}},
		{reflect.TypeFor[*embedsEnd](), inMessage, answer{true, embeds}},
		{reflect.TypeFor[embedsValue](), inMessage, answer{true, embeds}},
		{reflect.TypeFor[os.File](), answer{true, handOver}, answer{true, pointer + "os.File"}},
		{reflect.TypeFor[*os.File](), answer{true, handOver}, fine},
		{reflect.TypeFor[**os.File](), answer{true, handOver}, answer{true, handOver}},
		{reflect.TypeFor[*hasFile](), none, answer{true, itsMethod}},
		{reflect.TypeFor[hasFile](), none, none},
		{reflect.TypeFor[circle](), none, none},
	} {
		if is, why := finder.InMessage(c.typ); (answer{is, why}) != c.inMessage {
			t.Errorf("%v in a message: %v, %q, want %v", c.typ, is, why, c.inMessage)
		}
		if is, why := finder.InArgs(c.typ); (answer{is, why}) != c.inArgs {
			t.Errorf("%v in arguments: %v, %q, want %v", c.typ, is, why, c.inArgs)
		}
	}
}

type (
	embedsEnd struct {
		*Writer
		N int
	}
	embedsValue struct {
		Writer
		N int
	}
	hasFile struct{ N int }
	circle  *circle
)

// duplex is an end that consists of ends.
type duplex struct{ W *Writer }

func (*duplex) isEnd() {}

func (*hasFile) File() (*os.File, error) { return nil, os.ErrInvalid }

func TestMayHoldEnds(t *testing.T) {
	type list struct {
		Next *list
		N    int
	}
	type listOfEnds struct {
		Next *listOfEnds
		W    []map[string][2]*Writer
	}
	for _, c := range []struct {
		typ           reflect.Type
		may, declares bool
	}{
		{reflect.TypeFor[int](), false, false},
		{reflect.TypeFor[list](), false, false},
		{reflect.TypeFor[circle](), false, false},
		{reflect.TypeFor[chan *Writer](), false, false},
		{reflect.TypeFor[map[*Writer]int](), false, false}, // keys are not handed over
		{reflect.TypeFor[any](), true, false},
		{reflect.TypeFor[[]error](), true, false},
		{reflect.TypeFor[listOfEnds](), true, true},
		{reflect.TypeFor[*listOfEnds](), true, true},
		{reflect.TypeFor[Writer](), true, true},
		{reflect.TypeFor[struct{ w *Writer }](), true, true},
		{reflect.TypeFor[os.File](), true, true},
		{reflect.TypeFor[map[int]*os.File](), true, true},
	} {
		for range 2 { // the second answer is known
			if got := finder.mayHoldEnds(c.typ); got != c.may {
				t.Errorf("%v may hold ends: %v", c.typ, got)
			}
		}
		if got := finder.declaresEnds(c.typ); got != c.declares {
			t.Errorf("%v declares ends: %v", c.typ, got)
		}
	}
}
