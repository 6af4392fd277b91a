package gipcnats

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

type point struct{ X, Y int }

type renamed struct{ X, Y int }

type threeD struct{ X, Y, Z int }

type tagged struct {
	X int `cbor:"x"`
	Y int
}

type hidden struct {
	X, Y int
	z    int
}

type tree struct {
	Name  string
	Below []*tree
}

type grove struct {
	Name  string
	Below []*grove
}

// The fingerprint is that of what is sent, not of its name in Go.
func TestShape(t *testing.T) {
	t.Parallel()
	of := func(v any) string { return shape(reflect.TypeOf(v)) }
	test.Equal(t, of(point{}), of(renamed{}))
	test.Equal(t, of(point{}), of(hidden{z: 1}))
	test.Equal(t, of(tree{}), of(grove{}))
	others := []any{point{}, threeD{}, tagged{}, tree{}, &point{}, []point{}, [3]point{}, [4]point{}, map[string]point{}, map[point]string{},
		time.Time{}, time.Duration(0), "", 0, int32(0), fs.FileMode(0)}
	seen := map[string]any{}
	for _, v := range others {
		if other, ok := seen[of(v)]; ok {
			t.Errorf("%T and %T have one shape: %s", v, other, of(v))
		}
		seen[of(v)] = v
	}
}

func TestFingerprintHasItsPartsApart(t *testing.T) {
	t.Parallel()
	if fingerprint("a", "bc") == fingerprint("ab", "c") {
		t.Error("parts that are cut elsewhere have one fingerprint")
	}
	if kindOfTask(obey, "") == kindOfTask(obey, "2") || kindOfTask(obey, "") == kindOfTask(obey.WithCodecs(gipc.JSON[deed]{}, nil), "") {
		t.Error("another version or codec has the same fingerprint")
	}
}

func TestEscapedNamesAreTokensAndDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, name := range []string{"a", "a b", "a.b", "a=20b", "a*", "a>", "ä", "", "a/b", `a\b`, "a\nb"} {
		token := escape(name)
		for _, c := range token {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'F' || '0' <= c && c <= '9' || c == '=') {
				t.Errorf("%q becomes %q", name, token)
			}
		}
		if other, ok := seen[token]; ok {
			t.Errorf("%q and %q become %q", name, other, token)
		}
		seen[token] = name
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	for _, o := range []Options{
		{Prefix: "a..b"}, {Prefix: "a.*"}, {Prefix: "."}, {AckWait: time.Millisecond}, {Lease: time.Second},
		{AckWait: math.MaxInt64}, {Lease: math.MaxInt64}, {MaxStarts: -1}, {Window: -1}, {MaxTasks: -1},
	} {
		if _, err := NewClient(connect(t, url), obey, &o); err == nil {
			t.Errorf("%+v are good", o)
		}
		p, err := pool.New(obey, &pool.Options{Min: -1})
		test.Check(t, err)
		if err := Serve(test.Context(t), connect(t, url), p, &o); err == nil {
			t.Errorf("%+v are good", o)
		}
		test.Check(t, p.Close())
	}
}

// Whoever may publish can send anything. It costs nobody anything: a message that is no task is dropped, one that is no result
// is an error of its Do.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	serving(t, url, nil, &pool.Options{Max: 1})
	c := clientOf(t, url, nil)
	k := c.core
	garbage := [][]byte{nil, {format}, {99, 0}, make([]byte, 100), {format, flagLarge}, append([]byte{format, flagLarge}, make([]byte, taskHead)...)}
	for i, data := range garbage {
		_, err := k.js.Publish(ctx, k.task(k.kind, id{"stranger", string(rune('a' + i))}), data)
		test.Check(t, err)
		test.Check(t, k.nc.Publish(k.cancel(k.kind), data))
		test.Check(t, k.nc.Publish(k.wanted(k.id), data))
		_, err = k.js.Publish(ctx, k.result(id{k.id, string(rune('a' + i))}), data)
		test.Check(t, err)
	}
	_, err := c.Do(ctx, deed{})
	test.Check(t, err)
	empty(t, c)
}

func TestForeignResults(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	c := clientOf(t, url, nil)
	k := c.core
	for i, data := range [][]byte{nil, {2, 2, 2}, newResult(99), newResult(resultFailed), newResult(resultWorker), newResult(resultValue), {format, byte(resultValue), flagLarge}} {
		ended := test.Started(func() error { _, err := c.Do(ctx, deed{}); return err })
		test.Eventually(t, "it is stored", k.someWait)
		_, err := k.js.PublishMsg(ctx, &nats.Msg{Subject: k.result(id{k.id, string(rune('1' + i))}), Data: data})
		test.Check(t, err)
		if <-ended == nil {
			t.Errorf("%v is a result", data)
		}
	}
}

func TestFailuresTravel(t *testing.T) {
	t.Parallel()
	cause := errors.New("the cause")
	for _, err := range []error{
		cause, context.Canceled,
		&gipc.DecodeError{Type: "t", Codec: "c", Size: 7, Err: cause},
		&gipc.EncodeError{Type: "t", Codec: "c", Err: cause},
		&gipc.TooLargeError{Size: 7, Limit: 3},
	} {
		r, parseErr := parseResult(resultOf(resultFailed, newFailure(err)))
		test.Check(t, parseErr)
		got := explain("x", r)
		var task *pool.TaskError
		if !errors.As(got, &task) || task.Err.Error() != err.Error() {
			t.Errorf("%v became %v", err, got)
		}
		if reflect.TypeOf(err) == reflect.TypeFor[*gipc.DecodeError]() {
			var decode *gipc.DecodeError
			if !errors.As(got, &decode) || decode.Size != 7 {
				t.Errorf("%v became %v", err, got)
			}
		}
	}
}

// A lease of any length is one that can be added to.
func TestHugeLease(t *testing.T) {
	t.Parallel()
	b := make([]byte, taskHead)
	head := taskMessage{lease: math.MaxInt64}
	head.head(b)
	parsed, err := parseTask(b)
	test.Check(t, err)
	test.Equal(t, parsed.lease, stateAge)
}
