package stream

import (
	"context"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// TestNothingIsRegisteredWithACtxBehindClose: not even by a call that Close overtook.
func TestNothingIsRegisteredWithACtxBehindClose(t *testing.T) {
	test.Bounded(t)
	i := interrupter{setDeadline: func(time.Time) error { return nil }}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i.arm(ctx)
	test.Equal(t, i.stop != nil, true)
	i.close()
	other, cancelOther := context.WithCancel(t.Context())
	defer cancelOther()
	i.arm(other)
	test.Equal(t, i.stop != nil, false)
}
