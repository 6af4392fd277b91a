package ends

import (
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

type base struct{ Inner *Writer }

type everywhere struct {
	base
	Plain   *Reader[string]
	Nil     *Writer
	Pointer **Writer
	Slice   []*Writer
	Array   [2]*Reader[int]
	Struct  struct{ W *Writer }
	ByName  map[string]*Writer
	ByInt   map[int8]*Writer
	ByUint  map[uint16]*Writer
	ByBool  map[bool][]*Writer
	ByAny   map[any]*Writer
	ByFloat map[float64]*Writer
	ByPair  map[pair]*Writer
	File    *os.File
	Again   *Reader[string]
	Any     any
	Left    *Writer `cbor:"-"`
	hidden  *Writer
}

type pair struct {
	A string
	B int
}

func TestWalkVisitsAllInOrder(t *testing.T) {
	pointed := writer("pointer")
	v := everywhere{
		base:    base{writer("embedded")},
		Plain:   &Reader[string]{Name: "plain"},
		Pointer: &pointed,
		Slice:   []*Writer{writer("s0"), nil, writer("s2")},
		Array:   [2]*Reader[int]{reader("a0"), reader("a1")},
		Struct:  struct{ W *Writer }{writer("struct")},
		ByName:  map[string]*Writer{"b": writer("b"), "a": writer("a"), "": writer("nameless")},
		ByInt:   map[int8]*Writer{1: writer("1"), -1: writer("-1"), -128: writer("-128")},
		ByUint:  map[uint16]*Writer{300: writer("300"), 20: writer("20")},
		ByBool:  map[bool][]*Writer{true: {writer("true")}, false: {writer("false")}},
		ByFloat: map[float64]*Writer{2: writer("2.0"), 1: writer("1.0")},
		ByPair:  map[pair]*Writer{{"b", 1}: writer("b1"), {"a", 2}: writer("a2"), {"a", 1}: writer("a1")},
		File:    os.Stdin,
		Any:     []any{1, "text", map[string]any{"a": nil}, (*int)(nil)},
	}
	v.Again = v.Plain
	paths, names := found(t, &v)
	wantPaths := []string{
		"args.base.Inner", "args.Plain", "args.Pointer", "args.Slice[0]", "args.Slice[2]", "args.Array[0]", "args.Array[1]", "args.Struct.W",
		"args.ByName[]", "args.ByName[a]", "args.ByName[b]", "args.ByInt[-128]", "args.ByInt[-1]", "args.ByInt[1]",
		"args.ByUint[20]", "args.ByUint[300]", "args.ByBool[false][0]", "args.ByBool[true][0]", "args.ByFloat[1]", "args.ByFloat[2]",
		"args.ByPair[{a 1}]", "args.ByPair[{a 2}]", "args.ByPair[{b 1}]", "args.File", "args.Again",
	}
	wantNames := []string{
		"embedded", "plain", "pointer", "s0", "s2", "a0", "a1", "struct", "nameless", "a", "b", "-128", "-1", "1", "20", "300",
		"false", "true", "1.0", "2.0", "a1", "a2", "b1", os.Stdin.Name(), "plain",
	}
	if !slices.Equal(paths, wantPaths) {
		t.Errorf("visited %q, want %q", paths, wantPaths)
	}
	if !slices.Equal(names, wantNames) {
		t.Errorf("visited %q, want %q", names, wantNames)
	}
}

// TestWalkOrderOfEqualMaps: however a map came about, and whatever its keys are, the order is that of an equal one.
func TestWalkOrderOfEqualMaps(t *testing.T) {
	type keys struct {
		ByAny  map[any]*Writer
		ByPair map[[2]any]*Writer
	}
	all := []any{1, "1", 1.5, true, false, pair{"a", 1}, pair{"a", 2}, [2]any{1, "x"}, int8(-7), uint64(math.MaxUint64), "é", ""}
	build := func(order []any) keys {
		k := keys{map[any]*Writer{}, map[[2]any]*Writer{}}
		for _, key := range order {
			w := writer(fmt.Sprintf("%T %v", key, key))
			k.ByAny[key], k.ByPair[[2]any{key, 1}] = w, w
		}
		return k
	}
	_, want := found(t, build(all))
	test.Equal(t, len(want), 2*len(all))
	for range 50 {
		all = append(all[1:], all[0])
		if _, names := found(t, build(all)); !slices.Equal(names, want) {
			t.Fatalf("visited %q, before it was %q", names, want)
		}
	}
}

func TestWalkOfNothing(t *testing.T) {
	for _, v := range []any{nil, 1, (*Writer)(nil), (*os.File)(nil), Writer{}, os.File{}, everywhere{}, []any(nil), map[string]any{}} {
		if paths, _ := found(t, v); len(paths) != 0 {
			t.Errorf("%T: visited %q", v, paths)
		}
	}
}

func TestWalkEndsWithTheFirstError(t *testing.T) {
	stop, visits := errors.New("stop"), 0
	v := everywhere{Slice: []*Writer{writer("a"), writer("b")}, ByName: map[string]*Writer{"a": writer("c")}}
	err := finder.Walk(reflect.ValueOf(v), func(any, string) error { visits++; return stop })
	test.Is(t, err, stop)
	test.Equal(t, visits, 1)
}

func TestWalkRefuses(t *testing.T) {
	type inMap struct{ W map[string]any }
	for _, c := range []struct {
		args any
		want string
	}{
		{everywhere{Any: writer("x")}, "args.Any: a *ends.Writer in an interface can't be handed over, because the child would not know its type: use a field of that type"},
		{everywhere{Any: []any{1, inMap{map[string]any{"k": reader("x")}}}}, "args.Any[1].W[k]: a *ends.Reader[int] in an interface"},
		{everywhere{Any: os.Stderr}, "args.Any: a *os.File in an interface"},
		{everywhere{Any: []*Writer{writer("x")}}, "args.Any[0]: a *ends.Writer in an interface"},
		{everywhere{Any: Writer{Name: "x"}}, "args.Any: a ends.Writer that is no pointer can't be handed over: use a *ends.Writer"},
		{struct{ W Writer }{Writer{Name: "x"}}, "args.W: a ends.Writer that is no pointer"},
		{struct{ F []os.File }{[]os.File{*os.Stdin}}, "args.F[0]: a os.File that is no pointer"},
		{everywhere{hidden: writer("x")}, "args.hidden: a channel end or file in a field that is not encoded would stay behind: export the field"},
		{everywhere{Left: writer("x")}, "args.Left: a channel end or file in a field that is not encoded would stay behind"},
		{struct{ in struct{ F map[int]*os.File } }{struct{ F map[int]*os.File }{map[int]*os.File{}}}, "args.in: a channel end or file in a field"},
		{everywhere{ByFloat: map[float64]*Writer{math.NaN(): writer("x")}}, "args.ByFloat: what stands under the key NaN, which is not equal to itself, can't be found"},
		{struct{ *embedsList }{&embedsList{endList{writer("x")}}}, "args.embedsList.endList: a channel end or file in a field that is not encoded"},
		{everywhere{Any: twoEnds{&first{Name: "x"}, &second{Name: "y"}}}, "args.Any.first: a channel end or file in a field that is not encoded"},
	} {
		test.Says(t, walkError(c.args), c.want)
	}
}

// Embedded without a name that is exported: reflection shows such a value, but doesn't give it.
type (
	endList    []*Writer
	embedsList struct{ endList }
	first      = Writer
	second     = Reader[int]
	twoEnds    struct {
		*first
		*second
	}
)

// TestWalkLeavesAloneWhatHoldsNoEnds: fields that stay behind are fine as long as their types name no end.
func TestWalkLeavesAloneWhatHoldsNoEnds(t *testing.T) {
	type list struct {
		N    int
		any  any
		next *list
		note string
	}
	test.Check(t, walkError(&list{any: os.Stderr, next: &list{note: "a"}, note: "b"}))
	test.Check(t, walkError(struct{ err error }{errors.New("x")}))
	loop := &list{}
	loop.next = loop
	test.Check(t, walkError(loop))
}

// TestArgumentsThatContainThemselvesAreAnError: also where a round adds nothing to the path, and inside of interfaces.
func TestArgumentsThatContainThemselvesAreAnError(t *testing.T) {
	var pointer any
	pointer = &pointer
	type ring struct {
		Next *ring
		W    *Writer
	}
	r := &ring{}
	r.Next = r
	m := map[string]any{}
	m["m"] = m
	s := make([]any, 1)
	s[0] = s
	for _, v := range []any{pointer, everywhere{Any: pointer}, r, m, s} {
		test.Says(t, walkError(v), "arguments are nested more than 10000 deep, or contain themselves")
	}
}

// TestWalkIsCheapForLongLists: a list of a type that holds no ends is not looked through.
func TestWalkIsCheapForLongLists(t *testing.T) {
	v := struct{ Rows [][]pair }{make([][]pair, 1<<20)}
	test.Check(t, walkError(v))
	const limit = 64 << 10
	if allocated := test.Allocates(limit, func() { test.Check(t, walkError(v)) }); allocated > limit {
		t.Errorf("%d bytes were allocated", allocated)
	}
}
