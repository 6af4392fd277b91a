package stream

import (
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// The end of a ctx may have set the deadline while its call was returning: the next call must not meet it.
func TestDisarmLeavesNoDeadline(t *testing.T) {
	deadline := longAgo
	i := &interrupter{setDeadline: func(d time.Time) error { deadline = d; return nil }, fired: true}
	i.armed.Store(true)
	i.ended.Store(true)
	i.disarm()
	test.Equal(t, deadline, time.Time{})
	test.Equal(t, i.fired, false)
}
