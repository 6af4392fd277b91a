package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// cargo is what every Spawn that fails here had been given.
type cargo struct {
	R    *Reader[string]
	W    *Writer[string]
	Talk *Duplex[string, string]
	File *os.File

	// What makes it fail.
	Any     any
	Picky   *picky
	Blocker *marshalHook
	Odd     *Writer[string]
	Hidden  hiddenEnd
	Base    shadowed
	Mixed   mixedUp
	ByKey   map[panickyKey]*Writer[string]
	ByFloat map[float64]*Writer[string]
	LeftOut *Writer[string] `cbor:"" json:"-"`
}

// panickyKey can't be encoded.
type panickyKey struct{ N int }

func (panickyKey) MarshalCBOR() ([]byte, error)  { panic("key") }
func (*panickyKey) UnmarshalCBOR(b []byte) error { return nil }

// shadowed has two fields of one name: only the outer one is encoded.
type shadowed struct {
	shadowedBase
	W *Writer[string]
}

type shadowedBase struct{ W *Writer[string] }

// mixedUp is such a struct with an end and a file.
type mixedUp struct {
	shadowedBase
	W *os.File
}

type hiddenEnd struct {
	Note string
	out  *Writer[string]
}

var entryCargo = Register("cargo", func(context.Context, cargo) error { return nil })

// failedSpawn checks, if a Spawn fails, that nothing has moved, nor leaked.
func failedSpawn(t *testing.T, ctx context.Context, spawn func(ctx context.Context, c cargo) error) error {
	t.Helper()
	r, w := stringPipe(t)
	r2, w2 := pipeOf(t, &Options[string]{Buffer: 1 << 10})
	talk, theirs := duplexOf(t, &Options[string]{Shared: 1}, &Options[string]{Shared: 1})
	file, fileW, err := fd.NewOutputPipe()
	test.Check(t, err)
	defer file.Close()
	for i := range 3 {
		test.Check(t, w.Put(ctx, fmt.Sprint(i)))
	}
	get(t, ctx, r) // the others are read, too
	test.Check(t, w2.Put(ctx, "queued"))

	before := test.OpenDescriptors(t)
	err = spawn(ctx, cargo{R: r, W: w2, Talk: theirs, File: fileW})
	if err == nil {
		return nil
	}
	if after := test.OpenDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}

	for i := 1; i < 3; i++ {
		if got := get(t, ctx, r); got != fmt.Sprint(i) {
			t.Errorf("got %s, want %d", got, i)
		}
	}
	soon, cancel := context.WithTimeout(ctx, time.Millisecond) // reading is still non-blocking
	defer cancel()
	test.Is(t, second(r.Get(soon)), context.DeadlineExceeded)
	test.Check(t, w2.Put(ctx, "more"))
	for _, want := range []string{"queued", "more"} {
		if got := get(t, ctx, r2); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	test.Check(t, theirs.Put(ctx, "x"))
	get(t, ctx, talk)
	_, errW := fileW.WriteString("y")
	_, errR := file.Read(make([]byte, 1))
	test.Check(t, errors.Join(errW, errR, fileW.Close()))
	test.Check(t, errors.Join(r.Close(), w2.Close(), theirs.Close()))
	return err
}

// failure is a Spawn that fails, and what its error is and says.
type failure struct {
	spawn func(context.Context, cargo) error
	is    error
	text  string
}

// commandFailure is a SpawnOptions.Command that makes it fail.
type commandFailure struct {
	command func(*exec.Cmd)
	is      error
	text    string
}

func TestFailedSpawnMovesNothing(t *testing.T) {
	ctx := test.Context(t)
	ended, end := context.WithCancelCause(ctx)
	end(errors.New("the day is over"))
	spawnWith := func(opts *SpawnOptions, change func(*cargo)) func(context.Context, cargo) error {
		return func(ctx context.Context, c cargo) error {
			if change != nil {
				change(&c)
			}
			return second(Spawn(ctx, entryCargo, c, opts))
		}
	}
	cmd := func(f func(*exec.Cmd)) func(context.Context, cargo) error {
		return spawnWith(&SpawnOptions{Command: f}, nil)
	}
	custom := CodecFunc("test unknown", squeezed.Append, squeezed.Decode)
	_, unregistered := pipeOf(t, &Options[string]{Codec: custom})
	_, open := stringPipe(t)
	_, twin := stringPipe(t)
	_, closed := stringPipe(t)
	test.Check(t, closed.Close())
	null, err := os.Open(os.DevNull)
	test.Check(t, err)
	defer null.Close()
	gone, err := os.Open(os.DevNull)
	test.Check(t, err)
	test.Check(t, gone.Close())
	conn, other := net.Pipe()
	defer other.Close()
	noFile := NewWriter[string](conn, nil)

	cases := map[string]failure{
		"unknown entrypoint": {func(ctx context.Context, c cargo) error {
			return second(Spawn(ctx, &Entrypoint[cargo]{name: "nobody"}, c, nil))
		}, ErrUnknownEntrypoint, "cargo"},
		"ctx ended before": {func(_ context.Context, c cargo) error {
			return second(Spawn(ended, entryCargo, c, nil))
		}, context.Canceled, "the day is over"},
		"ctx ends during": {func(ctx context.Context, c cargo) error {
			ctx, cancel := context.WithCancel(ctx)
			opts := &SpawnOptions{Env: withInit("block"), Command: func(*exec.Cmd) { cancel() }}
			return second(Spawn(ctx, entryCargo, c, opts))
		}, context.Canceled, ""},
		"start timeout":      {spawnWith(&SpawnOptions{Env: withInit("block"), StartTimeout: 20 * time.Millisecond}, nil), ErrNotReady, "within 20ms"},
		"negative grace":     {spawnWith(&SpawnOptions{Grace: -1}, nil), nil, "Grace -1ns"},
		"negative timeout":   {spawnWith(&SpawnOptions{StartTimeout: -1}, nil), nil, "StartTimeout -1ns"},
		"spinning init":      {spawnWith(&SpawnOptions{Env: withInit("spin"), StartTimeout: 20 * time.Millisecond}, nil), ErrNotReady, "within 20ms"},
		"init exits":         {spawnWith(&SpawnOptions{Env: withInit("exit 9"), Stderr: new(strings.Builder)}, nil), ErrNotReady, "exited with code 9; its last words: no configuration"},
		"init exits with 0":  {spawnWith(&SpawnOptions{Env: withInit("exit 0")}, nil), ErrNotReady, "exited with code 0"},
		"init panics":        {spawnWith(&SpawnOptions{Env: withInit("panic"), Stderr: new(strings.Builder)}, nil), ErrNotReady, "crashed: init failed"},
		"args don't decode":  {spawnWith(nil, func(c *cargo) { c.Picky = &picky{} }), ErrNotReady, "too picky"},
		"args don't encode":  {spawnWith(nil, func(c *cargo) { c.Any = func() {} }), nil, "cbor"},
		"shadowed field":     {spawnWith(nil, func(c *cargo) { c.Base = shadowed{shadowedBase{open}, twin} }), ErrNotReady, "hidden by another of the same name"},
		"shadowing file":     {spawnWith(nil, func(c *cargo) { c.Mixed = mixedUp{shadowedBase{open}, null} }), ErrNotReady, "hidden by another of the same name"},
		"interface":          {spawnWith(nil, func(c *cargo) { c.Any = []any{open} }), nil, "args.Any[0]: a *gipc.Writer[string] in an interface"},
		"unexported field":   {spawnWith(nil, func(c *cargo) { c.Hidden.out = open }), nil, "args.Hidden.out"},
		"field left out":     {spawnWith(nil, func(c *cargo) { c.LeftOut = open }), nil, "args.LeftOut: a channel end or file in a field that is not encoded"},
		"end by value":       {spawnWith(nil, func(c *cargo) { c.Any = *open }), nil, "args.Any: a gipc.Writer[string] that is no pointer"},
		"key that is no key": {spawnWith(nil, func(c *cargo) { c.ByFloat = map[float64]*Writer[string]{math.NaN(): open} }), nil, "args.ByFloat: "},
		"key panics": {func(ctx context.Context, c cargo) error {
			c.ByKey = map[panickyKey]*Writer[string]{{1}: open, {2}: twin}
			return panicOf(func() { _, _ = Spawn(ctx, entryCargo, c, nil) })
		}, nil, "key"},
		"named":              {spawnWith(&SpawnOptions{Name: "worker 7", Env: withInit("exit 0")}, nil), ErrNotReady, "worker 7 (entrypoint cargo)"},
		"unregistered codec": {spawnWith(nil, func(c *cargo) { c.Odd = unregistered }), nil, "RegisterCodec"},
		"closed end":         {spawnWith(nil, func(c *cargo) { c.Odd = closed }), ErrClosed, "args.Odd"},
		"closed file":        {spawnWith(nil, func(c *cargo) { c.File = gone }), nil, "args.File: "},
		"zero end":           {spawnWith(nil, func(c *cargo) { c.Odd = &Writer[string]{} }), errZeroEnd, "args.Odd"},
		"no file":            {spawnWith(nil, func(c *cargo) { c.Odd = noFile }), fd.ErrNoFile, "args.Odd: "},
		"encoder panics": {func(ctx context.Context, c cargo) error {
			c.Blocker = &marshalHook{func() { panic("encoder") }}
			return panicOf(func() { _, _ = Spawn(ctx, entryCargo, c, nil) })
		}, nil, "encoder"},
		"no directory":   {spawnWith(&SpawnOptions{Dir: "/nowhere/at all"}, nil), os.ErrNotExist, ""},
		"other program":  {cmd(otherProgram), ErrNotReady, "exited with code 0"},
		"deaf program":   {spawnWith(&SpawnOptions{StartTimeout: 50 * time.Millisecond, Command: deafen}, nil), ErrNotReady, "within 50ms"},
		"Env replaced":   {cmd(func(c *exec.Cmd) { c.Env = []string{"A=b"} }), nil, "other than by appending"},
		"Env dropped":    {cmd(func(c *exec.Cmd) { c.Env = nil }), nil, "other than by appending"},
		"stream no file": {cmd(func(c *exec.Cmd) { c.Stdout = new(strings.Builder) }), nil, "*strings.Builder"},
		"Command panics": {func(ctx context.Context, c cargo) error {
			opts := &SpawnOptions{Stdout: new(strings.Builder), Command: func(*exec.Cmd) { panic("callback") }}
			return panicOf(func() { _, _ = Spawn(ctx, entryCargo, c, opts) })
		}, nil, "callback"},
	}
	for name, f := range systemFailures {
		cases[name] = failure{cmd(f.command), f.is, f.text}
	}
	before := roughlyOpen(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := failedSpawn(t, ctx, c.spawn)
			if err == nil {
				t.Fatal("Spawn succeeded")
			}
			if c.is != nil {
				test.Is(t, err, c.is)
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q, want %q in it", err, c.text)
			}
			var e *Error
			if !errors.As(err, &e) && !strings.HasPrefix(err.Error(), "panic") {
				t.Errorf("%T is no *Error", err)
			}
		})
	}
	if after := roughlyOpen(t); after > before+len(cases)/2 {
		t.Errorf("%d handles before %d failures, %d after", before, len(cases), after)
	}
	test.Check(t, open.Close())
	test.Check(t, unregistered.Close())
}

// record is a value with fields that stay behind, and have nothing to do with ends.
type record struct {
	ID    int
	cache map[string]any
	log   *slog.Logger
	next  *record
}

var entryRecord = Register("record", func(_ context.Context, r *record) error {
	if r.ID != 7 || r.cache != nil {
		return fmt.Errorf("got %+v", r)
	}
	return nil
})

func TestFieldsWithoutEndsStayBehindQuietly(t *testing.T) {
	ctx := test.Context(t)
	p, err := Spawn(ctx, entryRecord, &record{ID: 7, cache: map[string]any{"a": 1}, log: slog.Default(), next: &record{}}, nil)
	test.Check(t, err)
	test.Check(t, p.Wait(ctx))
}

// A failed Spawn leaves a connection as it is: its calls still end with their ctx.
func TestFailedSpawnLeavesConnectionsNonBlocking(t *testing.T) {
	test.Bounded(t)
	ctx := test.Context(t)
	for _, network := range []string{"tcp", "unix"} {
		if onWindows && network == "unix" {
			continue // its ends can't be handed over there, and few programs have any
		}
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "socket")
		}
		mine, other := test.Connected(t, network, address)
		d := NewReader[string](mine, nil)
		if _, err := Spawn(ctx, entryDeed, deedArgs{Do: "nothing", In: d}, &SpawnOptions{Env: withInit("exit 0")}); err == nil {
			t.Fatal("Spawn succeeded")
		}
		getCtx, cancel := context.WithCancel(ctx)
		got := test.Started(func() error { return second(d.Get(getCtx)) })
		underWay(t, d, 1)
		cancel()
		test.Is(t, <-got, context.Canceled)
		test.Check(t, errors.Join(d.Close(), other.Close()))
	}
}

func panicOf(f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	f()
	return nil
}

// Until Spawn has heard that its child is ready, and so can't fail any more, the child reads nothing.
func TestSpawnThatFailsHasMovedNothingWheneverItsCtxEnds(t *testing.T) {
	ctx := test.Context(t)
	for i := range 100 {
		r, w := stringPipe(t)
		test.Check(t, w.Put(ctx, "x"))
		test.Check(t, w.Close())
		spawnCtx, cancel := context.WithCancel(ctx)
		begun := writerFunc(func(p []byte) (int, error) { // less than a millisecond before the child is ready
			time.AfterFunc(time.Duration(i)*10*time.Microsecond, cancel)
			return len(p), nil
		})
		p, err := Spawn(spawnCtx, entryDeed, deedArgs{Do: "read one", In: r}, &SpawnOptions{
			Env: withInit("print"), Stdout: begun, Stderr: io.Discard,
		})
		if err == nil {
			_ = p.Wait(ctx)
			continue
		}
		if got, errGet := r.Get(ctx); got != "x" {
			t.Errorf("%d: got %q, %v after %v", i, got, errGet, err)
		}
	}
}
