package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// crate holds ends at every kind of place.
type crate struct {
	crateBase
	Plain    *Writer[string]
	List     []*Writer[string]
	Array    [2]*Writer[string]
	ByName   map[string]*Writer[string]
	ByNumber map[int]crateInner
	ByAny    map[any]*Writer[string]
	Inner    crateInner
	Pointer  **crateInner
	Renamed  *Writer[string] `cbor:"other,omitempty"`
	Nil      *Writer[string]
	NilTalk  *Duplex[int, int]
	NilFile  *os.File
	NilInner *crateInner
	Nothing  any
	Talk     *Duplex[string, string]
	Back     *Writer[string] // Talk's own
	Again    *Writer[string] // the same as Plain
}

type crateBase struct{ Base *Writer[string] }

type crateInner struct {
	Note string
	W    *Writer[string]
	Deep []map[string]*crateInner
}

// each visits every place where a Writer of its own is, and says its name.
func (n *crate) each(visit func(place string, w **Writer[string])) {
	visit("base", &n.Base)
	visit("plain", &n.Plain)
	for i := range n.List {
		visit(fmt.Sprint("list ", i), &n.List[i])
	}
	for i := range n.Array {
		visit(fmt.Sprint("array ", i), &n.Array[i])
	}
	for k, w := range n.ByName {
		visit("by name "+k, &w)
		n.ByName[k] = w
	}
	for k, w := range n.ByAny {
		visit(fmt.Sprintf("by any %v %t", k, k == "1"), &w)
		n.ByAny[k] = w
	}
	for k, in := range n.ByNumber {
		visit(fmt.Sprint("by number ", k), &in.W)
		n.ByNumber[k] = in
	}
	visit("inner", &n.Inner.W)
	visit("deep", &n.Inner.Deep[1]["x"].W)
	visit("pointer", &(*n.Pointer).W)
	visit("renamed", &n.Renamed)
}

var entryCrate = Register("crate", func(ctx context.Context, n *crate) error {
	if n.Nil != nil || n.NilTalk != nil || n.NilFile != nil || n.NilInner != nil || n.Nothing != nil {
		return errors.New("something came out of nothing")
	}
	var errs []error
	n.each(func(place string, w **Writer[string]) { errs = append(errs, (*w).Put(ctx, place)) })
	errs = append(errs, n.Again.Put(ctx, "again"), n.Back.Put(ctx, "back"))
	v, err := n.Talk.Get(ctx)
	errs = append(errs, err, n.Talk.Put(ctx, "echo "+v), n.Back.Close())
	if err := n.Talk.w.Put(ctx, "late"); !errors.Is(err, ErrClosed) {
		errs = append(errs, errors.New("closing a Duplex's half did not close it in the Duplex"))
	}
	return errors.Join(errs...)
})

func TestEndsMoveAtAnyDepth(t *testing.T) {
	ctx := test.Context(t)
	inner := &crateInner{Note: "pointed to"}
	n := &crate{
		List:     make([]*Writer[string], 3),
		ByName:   map[string]*Writer[string]{"b": nil, "a": nil, "": nil},
		ByNumber: map[int]crateInner{10: {}, -9: {}, 2: {}},
		ByAny:    map[any]*Writer[string]{1: nil, "1": nil, "x": nil, true: nil},
		Inner:    crateInner{Deep: []map[string]*crateInner{nil, {"x": {}}}},
		Pointer:  &inner,
	}
	readers := map[string]*Reader[string]{}
	n.each(func(place string, w **Writer[string]) { readers[place], *w = stringPipe(t) })
	mine, theirs := duplexOf(t, &Options[string]{Shared: 1}, &Options[string]{Shared: 1})
	n.Talk, n.Back, n.Again = theirs, theirs.Writer(), n.Plain

	p := spawnIt(t, entryCrate, n, nil)
	for place, r := range readers {
		if got := get(t, ctx, r); got != place {
			t.Errorf("%q came where %q belongs", got, place)
		}
	}
	if got := get(t, ctx, readers["plain"]); got != "again" {
		t.Errorf("the second occurrence sent %q", got)
	}
	test.Check(t, mine.Put(ctx, "hi"))
	if a, b := get(t, ctx, mine), get(t, ctx, mine); a != "back" || b != "echo hi" {
		t.Errorf("got %q, %q", a, b)
	}
	test.Check(t, p.Wait(ctx))
	for place, r := range readers {
		if v, err := r.Get(ctx); err != io.EOF {
			t.Errorf("%s: %q, %v behind the last message", place, v, err)
		}
	}
}

func TestMovedEndsAreClosedHereAndNameTheirChild(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	r2, w2 := stringPipe(t)
	_, d := duplexOf[string, string](t, nil, nil)
	file, fileW, err := os.Pipe()
	test.Check(t, err)
	defer file.Close()
	p := spawnIt(t, entryDeed, deedArgs{Do: "nothing", In: r, Out: w2, Talk: d, File: fileW}, &SpawnOptions{Name: "mover"})

	last := func(errs <-chan error) error { return <-errs }
	rMsgs, rErrs := r.Chan(ctx)
	_, wErrs := w2.Chan(ctx)
	_, open := <-rMsgs
	errAll := error(nil)
	for _, err := range r.All(ctx) {
		errAll = err
	}
	for call, err := range map[string]error{
		"Get":           second(r.Get(ctx)),
		"GetInto":       r.GetInto(ctx, new(string)),
		"All":           errAll,
		"Reader.Chan":   last(rErrs),
		"Reader.Close":  r.Close(),
		"TryClose":      r.TryClose(),
		"Put":           w2.Put(ctx, ""),
		"Flush":         w2.Flush(ctx),
		"Writer.Chan":   last(wErrs),
		"Close":         w2.Close(),
		"CloseNow":      w2.CloseNow(),
		"Duplex.Get":    second(d.Get(ctx)),
		"Duplex.Put":    d.Put(ctx, ""),
		"Duplex.Close":  d.Close(),
		"Duplex.Writer": d.Writer().TryClose(),
		"Spawn":         second(Spawn(ctx, entryDeed, deedArgs{In: r}, nil)),
		"Spawn, Writer": second(Spawn(ctx, entryDeed, deedArgs{Out: w2}, nil)),
	} {
		var e *Error
		if !errors.Is(err, ErrMoved) || !errors.Is(err, ErrClosed) || !errors.Is(err, os.ErrClosed) || !errors.As(err, &e) {
			t.Errorf("%s: %v", call, err)
		} else if !strings.Contains(err.Error(), p.Name()) || !strings.Contains(err.Error(), fmt.Sprint(p.PID())) {
			t.Errorf("%s: the child is not named in %q", call, err)
		}
	}
	if open {
		t.Error("Chan of a moved Reader delivered something")
	}
	if _, err := fileW.Write(nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the moved file: %v", err)
	}
	for _, s := range []string{r.String(), w2.String(), d.String()} {
		if !strings.Contains(s, "moved") {
			t.Errorf("%q does not say that it has moved", s)
		}
	}
	test.Check(t, p.Wait(ctx))
	test.Is(t, w.Put(ctx, "x"), ErrPeerClosed)
	if _, err := r2.Get(ctx); err != io.EOF {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

// Two ends are given away, the other two are open here: exactly the four of seed.md.
func TestOthersOfTheChildAreClosed(t *testing.T) {
	ctx := test.Context(t)
	stay, stays := stringPipe(t)
	up, w := stringPipe(t)
	r, order := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "await order", In: r, Out: w}, nil)
	get(t, ctx, up)
	test.Check(t, stay.Close())
	test.Is(t, stays.Put(ctx, "x"), ErrPeerClosed) // the child doesn't hold stay
	test.Check(t, order.Put(ctx, "nil"))
	test.Check(t, p.Wait(ctx))
}

func TestFilesMoveToChild(t *testing.T) {
	ctx := test.Context(t)
	r, w, err := os.Pipe()
	test.Check(t, err)
	p := spawnIt(t, entryDeed, deedArgs{Do: "file", Text: "hello", File: w}, nil)
	all, err := io.ReadAll(r) // ends when both processes have closed it
	test.Check(t, errors.Join(err, r.Close()))
	if want := "hello to " + w.Name(); string(all) != want {
		t.Errorf("the child wrote %q, want %q", all, want)
	}
	test.Check(t, p.Wait(ctx))

	f, err := os.Create(t.TempDir() + "/f")
	test.Check(t, err)
	path := f.Name()
	test.Check(t, spawnIt(t, entryFiles, []*os.File{f, f}, nil).Wait(ctx))
	got, err := os.ReadFile(path)
	test.Check(t, err)
	if string(got) != "01" {
		t.Errorf("the file holds %q", got)
	}
}

func TestListenersFileMoves(t *testing.T) {
	test.SkipUnderWine(t, "it can't untie a socket from a completion port, which File does")
	ctx := test.Context(t)
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	test.Check(t, err)
	defer listener.Close()
	f, err := listener.File()
	test.Check(t, err)
	p := spawnIt(t, entryDeed, deedArgs{Do: "accept", Text: "hello", File: f}, nil)
	test.Check(t, listener.Close()) // it's the child's alone
	conn, err := net.Dial("tcp", listener.Addr().String())
	test.Check(t, err)
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	test.Check(t, p.Wait(ctx))
}

var entryFiles = Register("files", func(ctx context.Context, files []*os.File) error {
	var errs []error
	for i, f := range files {
		_, err := fmt.Fprint(f, i)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
})

func TestHandleInMessageIsEncodeError(t *testing.T) {
	ctx := test.Context(t)
	type message struct{ End any }
	r, w := pipeOf[int](t, nil)
	d, movedD := duplexOf[int, int](t, nil, nil)
	movedR, movedW := pipeOf[int](t, nil)
	p := spawnIt(t, entryHold, holdArgs{movedR, movedW, movedD}, nil)
	test.Check(t, p.Wait(ctx))
	for _, codec := range []Codec[message]{CBOR[message]{}, JSON[message]{}} {
		in, out := pipeOf(t, &Options[message]{Codec: codec})
		for name, m := range map[string]message{
			"Reader": {r}, "Writer": {w}, "Duplex": {d},
			"moved Reader": {movedR}, "moved Writer": {movedW}, "moved Duplex": {movedD},
		} {
			err := out.Put(ctx, m)
			var encode *EncodeError
			if !errors.As(err, &encode) || !strings.Contains(err.Error(), "Spawn") {
				t.Errorf("%s of a %s: %v", codec.Name(), name, err)
			}
		}
		test.Check(t, out.Put(ctx, message{}))
		if got := get(t, ctx, in); got != (message{}) {
			t.Errorf("got %v", got)
		}
	}
	test.Check(t, w.Put(ctx, 1)) // nothing happened to it
	if got := get(t, ctx, r); got != 1 {
		t.Errorf("got %d", got)
	}
}

type holdArgs struct {
	R *Reader[int]
	W *Writer[int]
	D *Duplex[int, int]
}

var entryHold = Register("hold", func(context.Context, holdArgs) error { return nil })

func TestCodecsTravelWithTheirEnds(t *testing.T) {
	ctx := test.Context(t)
	texts := []string{"", "x", strings.Repeat("squeeze me ", 20_000)}
	for _, codec := range []Codec[string]{CBOR[string]{}, JSON[string]{}, squeezed} {
		mine, theirs := duplexOf(t, &Options[string]{Codec: codec}, &Options[string]{Codec: codec})
		p := spawnIt(t, entryEchoString, theirs, nil)
		for _, text := range texts {
			go mine.Put(ctx, text)
			if got := get(t, ctx, mine); got != text {
				t.Errorf("%s: %d bytes came back for %d", codec.Name(), len(got), len(text))
			}
		}
		test.Check(t, mine.CloseWrite())
		test.Check(t, p.Wait(ctx))
	}

	mine, theirs := duplexOf(t, &Options[[]byte]{Codec: Raw{}}, &Options[[]byte]{Codec: Raw{}})
	p := spawnIt(t, entryEchoBytes, theirs, nil)
	for _, text := range texts {
		go mine.Put(ctx, []byte(text))
		if got := get(t, ctx, mine); string(got) != text {
			t.Errorf("raw: %d bytes came back for %d", len(got), len(text))
		}
	}
	test.Check(t, mine.CloseWrite())
	test.Check(t, p.Wait(ctx))

	talk, child := duplexOf[letter, letter](t, nil, nil)
	p = spawnIt(t, entryEchoStruct, child, nil)
	sent := letterTo("you")
	test.Check(t, talk.Put(ctx, sent))
	got := get(t, ctx, talk)
	if !slices.Equal(got.To["you"], sent.To["you"]) || got.Text != sent.Text || !got.Sent.Equal(sent.Sent) || got.Reply.Text != sent.Reply.Text {
		t.Errorf("sent %v, got %v", sent, got)
	}
	test.Check(t, talk.Close())
	test.Check(t, p.Wait(ctx))
}
