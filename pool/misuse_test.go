package pool

import (
	"context"
	"iter"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// panicsWith wants that all of calls panic with that text.
func panicsWith(t *testing.T, want string, calls map[string]func()) {
	t.Helper()
	for name, call := range calls {
		func() {
			defer func() {
				if v := recover(); v != want {
					t.Errorf("%s: panic %v, want %s", name, v, want)
				}
			}()
			call()
		}()
	}
}

func TestANilContextPanicsBeforeItHasAnyEffect(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	var none context.Context
	var args iter.Seq[deed] = func(func(deed) bool) {}
	panicsWith(t, "gipc/pool: a call got a nil Context", map[string]func(){
		"Do":        func() { _, _ = p.Do(none, deed{}) },
		"All":       func() { p.All(none, args) },
		"Unordered": func() { p.Unordered(none, args) },
		"WaitReady": func() { _ = p.WaitReady(none) },
		"Replace":   func() { _ = p.Replace(none) },
		"Drain":     func() { _ = p.Drain(none) },
		"Run":       func() { _, _ = Run(none, obey, deed{}, nil) },
	})
	panicsWith(t, "gipc/pool: a call got a nil iter.Seq", map[string]func(){
		"All":       func() { p.All(t.Context(), nil) },
		"Unordered": func() { p.Unordered(t.Context(), nil) },
	})
	_, err := p.Do(test.Context(t), deed{}) // it doesn't drain
	test.Check(t, err)
}

func TestZeroValuesPanic(t *testing.T) {
	var p Pool[deed, done]
	ctx := t.Context()
	panicsWith(t, "gipc/pool: a Pool is made by New", map[string]func(){
		"Do":        func() { _, _ = p.Do(ctx, deed{}) },
		"All":       func() { p.All(ctx, nil) },
		"Unordered": func() { p.Unordered(ctx, nil) },
		"WaitReady": func() { _ = p.WaitReady(ctx) },
		"Replace":   func() { _ = p.Replace(ctx) },
		"Drain":     func() { _ = p.Drain(ctx) },
		"Close":     func() { _ = p.Close() },
		"Stats":     func() { p.Stats() },
		"Available": func() { p.Available() },
		"Task":      func() { p.Task() },
	})
	test.Equal(t, p.String(), "a Pool that New did not make")
	panicsWith(t, "gipc/pool: New got no Task: Register makes one", map[string]func(){
		"nil Task":  func() { _, _ = New[deed, done](nil, nil) },
		"zero Task": func() { _, _ = New(new(Task[deed, done]), nil) },
		"Run":       func() { _, _ = Run(ctx, new(Task[deed, done]), deed{}, nil) },
	})
}

type holdsAnEnd struct{ Rows []*gipc.Reader[int] }

var takesAnEnd = Register("takes an end", func(context.Context, holdsAnEnd) (int, error) { return 0, nil })

var returnsAnEnd = Register("returns an end", func(context.Context, int) (holdsAnEnd, error) { return holdsAnEnd{}, nil })

func TestAnEndInATypeIsRefused(t *testing.T) {
	_, err := New(takesAnEnd, nil)
	test.Equal(t, as[*gipc.EncodeError](t, err).Type, "pool.holdsAnEnd")
	_, err = New(returnsAnEnd, nil)
	test.Equal(t, as[*gipc.EncodeError](t, err).Type, "pool.holdsAnEnd")
}
