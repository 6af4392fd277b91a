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
