package gipc

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// TestClosedWriterSaysSoWhateverItIsGiven: though the value can't be encoded, or is too large.
func TestClosedWriterSaysSoWhateverItIsGiven(t *testing.T) {
	_, w := pipeOf[any](t, &Options[any]{MaxMessage: 10})
	test.Check(t, w.Close())
	test.Is(t, w.Put(t.Context(), make(chan int)), ErrClosed)
	test.Is(t, w.Put(t.Context(), strings.Repeat("x", 100)), ErrClosed)
}

// TestMisuseThatOnlyAProgrammerCanCausePanicsInTheCall: with a text that names it, where the caller can see it.
func TestMisuseThatOnlyAProgrammerCanCausePanicsInTheCall(t *testing.T) {
	r, w := stringPipe(t)
	var file *os.File
	var noCtx context.Context
	for name, c := range map[string]struct {
		call func()
		want string
	}{
		"NewReader of nil":      {func() { NewReader[int](nil, nil) }, "the stream is nil"},
		"NewReader of nil file": {func() { NewReader[int](file, nil) }, "the stream is nil"},
		"NewWriter of nil":      {func() { NewWriter[int](nil, nil) }, "the stream is nil"},
		"NewWriter of nil file": {func() { NewWriter[int](file, nil) }, "the stream is nil"},
		"Get without a ctx":     {func() { _, _ = r.Get(noCtx) }, "nil Context"},
		"Put without a ctx":     {func() { _ = w.Put(noCtx, "") }, "nil Context"},
		"Reader.Chan without":   {func() { r.Chan(noCtx) }, "nil Context"},
		"Writer.Chan without":   {func() { w.Chan(noCtx) }, "nil Context"},
		"Spawn of nil":          {func() { _, _ = Spawn[int](t.Context(), nil, 1, nil) }, "the Entrypoint is nil"},
	} {
		func() {
			defer func() {
				if v := fmt.Sprint(recover()); !strings.Contains(v, c.want) {
					t.Errorf("%s: panic %q, want %q", name, v, c.want)
				}
			}()
			c.call()
		}()
	}
	test.Check(t, r.TryClose())
	test.Check(t, w.TryClose())
}
