package gipc

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/go-gipc/gipc/internal/codec"
	"github.com/go-gipc/gipc/internal/proc"
)

// Entrypoint is a function that Spawn can run in a child process. Register makes it; Spawn panics for the zero value.
type Entrypoint[A any] struct{ name string }

// Name returns the name that it was registered with.
func (e *Entrypoint[A]) Name() string { return e.name }

// entrypoint is an Entrypoint as the child finds it by its name.
type entrypoint struct {
	// prepare decodes arguments; adopt fills in the ends.
	prepare func(args []byte, adopt func(args any) ([]half, error)) (*call, error)
}

var (
	entrypointsMu sync.Mutex
	entrypoints   = map[string]entrypoint{}
)

// Register names fn as an entrypoint for child processes. Call it when the program starts, in parent and child alike: in
// a package-level variable or an init function, so that it has run when main calls Init. In main, ahead of Init, does as well.
// Behind Init it comes too late: a child never gets there, and Spawn returns ErrUnknownEntrypoint.
//
//	var resize = gipc.Register("resize", func(ctx context.Context, args ResizeArgs) error { … })
//
// An entrypoint that spawns itself would refer to itself there, which doesn't compile. Use an init function:
//
//	var walk *gipc.Entrypoint[WalkArgs]
//
//	func init() { walk = gipc.Register("walk", runWalk) } // runWalk calls Spawn with walk
//
// In the child, fn runs on the main goroutine. Its ctx ends when the parent asks the child to stop, when the ctx given to
// Spawn ends, and when the parent is gone. Then fn should return. What it returns is what the parent's Wait returns: its
// text, and the sentinels that it matches (see RegisterError).
//
// When fn returns nil, the ends among its arguments are closed, Readers first, and the process exits when what its Writers had
// queued is in the pipes. When fn returns an error, queued messages are sent too, but the readers get io.ErrUnexpectedEOF
// behind them. Both wait until the readers have made room, or the child is stopped. So a parent must not wait for a child
// before it has read what the child has queued.
//
// Args travel as CBOR. Ends and files in them, in fields of their own type at any depth, move to the child. Register panics
// if args can't be encoded, naming the field, and if the name is empty or taken.
func Register[A any](name string, fn func(ctx context.Context, args A) error) *Entrypoint[A] {
	switch {
	case name == "":
		panic("gipc: Register: the entrypoint has no name")
	case fn == nil:
		panic("gipc: Register: entrypoint " + name + " has no function")
	}
	checkArgs(name, reflect.TypeFor[A]())
	entrypointsMu.Lock()
	defer entrypointsMu.Unlock()
	if _, taken := entrypoints[name]; taken {
		panic("gipc: Register: there is an entrypoint " + name + " already")
	}
	entrypoints[name] = entrypoint{func(encoded []byte, adopt func(any) ([]half, error)) (*call, error) {
		var args A
		if err := codec.Decode(encoded, &args); err != nil {
			return nil, err
		}
		halves, err := adopt(&args)
		return &call{fn: func(ctx context.Context) error { return fn(ctx, args) }, halves: halves}, err
	}}
	return &Entrypoint[A]{name: name}
}

// checkArgs panics if an entrypoint's arguments can't be encoded. In a child it doesn't look: the parent, which is the same
// program, has got through its Registers, and a child that starts has better things to do.
func checkArgs(name string, args reflect.Type) {
	if inheritance != nil {
		return
	}
	if err := cborArgs.Check(args); err != nil {
		panic(fmt.Sprintf("gipc: Register: arguments of entrypoint %s: %v", name, err))
	}
}

func lookupEntrypoint(name string) (entrypoint, bool) {
	entrypointsMu.Lock()
	defer entrypointsMu.Unlock()
	e, ok := entrypoints[name]
	return e, ok
}

func entrypointNames() []string {
	entrypointsMu.Lock()
	defer entrypointsMu.Unlock()
	return slices.Sorted(maps.Keys(entrypoints))
}

// Init must be the first line of main, and of TestMain in tests that spawn. In a child process it runs the entrypoint and
// never returns. In any other process it returns at once, and a second call does nothing. Spawn fails with ErrNotInitialized
// where Init was not called. An entrypoint that calls it panics.
func Init() {
	again := proc.Initialized.Swap(true)
	proc.FileID()
	switch {
	case inheritance == nil:
	case again:
		panic("gipc: Init was called by an entrypoint, or twice at once: call it once, in the first line of main")
	default:
		inheritance.run()
	}
}
