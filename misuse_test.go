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
	raw, _ := pipeOf(t, &Options[[]byte]{Codec: Raw{}})
	var noCtx context.Context
	const noContext = "gipc: a call got a nil Context"
	p := spawnIt(t, entryDeed, deedArgs{Do: "await ctx"}, nil)
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
		"Spawn of zero":         {func() { _, _ = Spawn(t.Context(), new(Entrypoint[int]), 1, nil) }, "an Entrypoint is made by Register"},
		"Spawn without a ctx":   {func() { _, _ = Spawn(noCtx, entryDeed, deedArgs{}, nil) }, noContext},
		"Wait without a ctx":    {func() { _ = p.Wait(noCtx) }, noContext},
		"Stop without a ctx":    {func() { _ = p.Stop(noCtx) }, noContext},
		"Ping without a ctx":    {func() { _ = p.Ping(noCtx) }, noContext},
		"WaitReady without":     {func() { _ = p.WaitReady(noCtx) }, noContext},
		"Ready without a ctx":   {func() { _ = Ready(noCtx) }, noContext},
		"GetInto of nil":        {func() { _ = r.GetInto(t.Context(), nil) }, "gipc: GetInto got a nil pointer"},
		"GetInto of nil, raw":   {func() { _ = raw.GetInto(t.Context(), nil) }, "gipc: GetInto got a nil pointer"},
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
	test.Equal(t, p.Alive(), true)
	test.Check(t, p.Stop(t.Context()))
	test.Check(t, r.TryClose())
	test.Check(t, w.TryClose())
}
