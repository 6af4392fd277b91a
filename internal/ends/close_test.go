package ends

import (
	"fmt"
	"io"
	"math"
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func TestCloseClosesEachOnce(t *testing.T) {
	type ring struct {
		Next *ring
		Any  any
		W    *Writer
	}
	var all []*Writer
	w := func() *Writer {
		all = append(all, writer(fmt.Sprint(len(all))))
		return all[len(all)-1]
	}
	r, inAny := reader("r"), reader("in an interface")
	pointed, shared := w(), []*Writer{w()}
	same := map[string]*Writer{"a": w()}
	loop := &ring{W: w()}
	loop.Next, loop.Any = loop, loop
	args := &struct {
		base
		R       *Reader[int]
		Again   **Writer
		Pointer **Writer
		Slice   []*Writer
		Slice2  []*Writer
		Array   [1]*Writer
		Map     map[string]*Writer
		Map2    map[string]*Writer
		ByFloat map[float64]*Writer
		Any     any
		Ring    *ring
		Nil     *Writer
		Left    *Writer `cbor:"-"`
	}{
		base{w()}, r, &pointed, &pointed, shared, shared, [1]*Writer{w()}, same, same, map[float64]*Writer{math.NaN(): w()},
		[]any{w(), map[int]any{1: w()}, inAny, embedsEnd{Writer: w()}, &embedsEnd{Writer: w()}, nil, 1}, loop, nil, w(),
	}
	finder.Close(args)
	for _, w := range all {
		if w.closedNow != 1 || w.closed != 0 {
			t.Errorf("writer %s: CloseNow was called %d times, Close %d times", w.Name, w.closedNow, w.closed)
		}
	}
	test.Equal(t, r.closed, 1)
	test.Equal(t, inAny.closed, 1)
}

// TestCloseOfPartsOfAList: slices of one array are different values, and one of them is not all of it.
func TestCloseOfPartsOfAList(t *testing.T) {
	all := []*Writer{writer("a"), writer("b")}
	finder.Close([][]*Writer{all[:1], all})
	if all[1].closedNow != 1 {
		t.Errorf("the second was closed %d times", all[1].closedNow)
	}
}

func TestCloseLeavesAlone(t *testing.T) {
	hidden, key := writer("hidden"), writer("key")
	finder.Close(nil)
	finder.Close(1)
	finder.Close((*Writer)(nil))
	finder.Close(struct {
		hidden *Writer
		Keys   map[*Writer]any
	}{hidden, map[*Writer]any{key: 1}})
	listed := writer("listed")
	finder.Close([]any{embedsList{endList{listed}}})
	one, two := writer("one"), reader("two")
	finder.Close([]any{twoEnds{one, two}})
	for _, w := range []*Writer{hidden, key, listed, one} {
		if w.closed+w.closedNow != 0 {
			t.Errorf("%s was closed", w.Name)
		}
	}
	test.Equal(t, two.closed, 0)
}

func TestCloseOfFiles(t *testing.T) {
	open := func() *os.File {
		f, err := os.Open(os.DevNull)
		test.Check(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	isClosed := func(f *os.File) bool { _, err := f.Stat(); return err != nil }
	given, inField, inLog := open(), open(), open()
	type logs struct{ To *os.File }
	finder.Close(struct {
		In     *os.File
		Log    io.Writer
		Nested any
	}{given, inLog, logs{inField}})
	if !isClosed(given) {
		t.Error("a file in the arguments stays open")
	}
	if isClosed(inLog) || isClosed(inField) {
		t.Error("a file in an interface was closed")
	}
}
