//go:build unix

package gipc

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// A child that stands still doesn't answer, but when it goes on; all that were asked meanwhile is one question.
func TestPingOfASuspendedChild(t *testing.T) {
	ctx := test.Context(t)
	p := upChild(t, ctx, "await ctx", nil)
	test.Check(t, p.Ping(ctx))
	suspend(t, p)
	why := errors.New("no patience")
	for range 5 {
		err := p.Ping(endedCtx(why)) // it asks, and doesn't wait
		test.Is(t, err, context.Canceled, why)
	}
	test.Equal(t, p.health.asked, 2)
	waiting := test.Started(func() error { return p.Ping(ctx) })
	if !p.Alive() {
		t.Error("the end of the ctx ended the child")
	}
	test.Check(t, p.Signal(syscall.SIGCONT))
	test.Check(t, <-waiting)
	test.Check(t, p.Ping(ctx))
	test.Check(t, p.Stop(ctx))
}

// Who waits for an answer learns of the end.
func TestPingReturnsWhenTheChildIsKilled(t *testing.T) {
	ctx := test.Context(t)
	p := upChild(t, ctx, "await ctx", nil)
	suspend(t, p)
	test.Is(t, p.Ping(endedCtx(nil)), context.Canceled) // the question is on its way
	waiting := test.Started(func() error { return p.Ping(ctx) })
	why := errors.New("it stands still")
	test.Check(t, p.KillCause(why))
	err := <-waiting
	test.Is(t, err, why)
	if err != p.Wait(ctx) {
		t.Errorf("%v, Wait says %v", err, p.Wait(ctx))
	}
}
