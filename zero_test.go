package gipc

import (
	"context"
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// A Process that Spawn didn't make says so; it doesn't wait for ever.
func TestZeroProcessPanics(t *testing.T) {
	p, ctx := &Process{}, context.Background()
	for name, call := range map[string]func(){
		"PID":       func() { p.PID() },
		"Alive":     func() { p.Alive() },
		"Done":      func() { p.Done() },
		"Wait":      func() { _ = p.Wait(ctx) },
		"Stop":      func() { _ = p.Stop(ctx) },
		"WaitReady": func() { _ = p.WaitReady(ctx) },
		"Ping":      func() { _ = p.Ping(ctx) },
		"ExitCode":  func() { p.ExitCode() },
		"Terminate": func() { _ = p.Terminate() },
		"Kill":      func() { _ = p.Kill() },
		"KillCause": func() { _ = p.KillCause(nil) },
		"Signal":    func() { _ = p.Signal(os.Kill) },
	} {
		t.Run(name, func(t *testing.T) {
			test.Bounded(t)
			defer func() { test.Equal(t, recover(), any("gipc: a Process is made by Spawn")) }()
			call()
		})
	}
	test.Equal(t, p.String(), "a Process that Spawn did not make")
}

// So do ends that nobody has made.
func TestZeroEndsPanic(t *testing.T) {
	const reader, writer = "gipc: a Reader is made by Pipe, NewDuplex or NewReader", "gipc: a Writer is made by Pipe, NewDuplex or NewWriter"
	const duplex = "gipc: a Duplex is made by NewDuplex"
	r, w, d, ctx := &Reader[int]{}, &Writer[int]{}, &Duplex[int, int]{}, context.Background()
	for want, calls := range map[string][]func(){
		reader: {
			func() { _, _ = r.Get(ctx) },
			func() { _ = r.GetInto(ctx, new(int)) },
			func() {
				for range r.All(ctx) {
				}
			},
			func() { r.Chan(ctx) },
			func() { _ = r.Close() },
			func() { _ = r.TryClose() },
			func() { r.Stats() },
		},
		writer: {
			func() { _ = w.Put(ctx, 1) },
			func() { _ = w.Flush(ctx) },
			func() { w.Chan(ctx) },
			func() { _ = w.Close() },
			func() { _ = w.CloseNow() },
			func() { _ = w.TryClose() },
			func() { w.Stats() },
		},
		duplex: {
			func() { d.Reader() },
			func() { d.Writer() },
			func() { _, _ = d.Get(ctx) },
			func() { _ = d.GetInto(ctx, new(int)) },
			func() { d.All(ctx) },
			func() { _ = d.Put(ctx, 1) },
			func() { _ = d.Flush(ctx) },
			func() { _ = d.CloseWrite() },
			func() { _ = d.Close() },
			func() { _ = d.CloseNow() },
			func() { _ = d.TryClose() },
			func() { d.Stats() },
		},
	} {
		for _, call := range calls {
			func() {
				defer func() { test.Equal(t, recover(), any(want)) }()
				call()
			}()
		}
	}
	test.Equal(t, r.String(), "Reader[int](not made)")
	test.Equal(t, w.String(), "Writer[int](not made)")
	test.Equal(t, d.String(), "Duplex[int, int](not made)")
	CloseEnds([]any{r, w, d, &os.File{}}) // as a Supervisor does with arguments that Spawn refuses
}
