package gipcnats

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/go-gipc/gipc/internal/test"
)

// What somebody sends to the subject of cancelled tasks is kept only if it can be a task's id.
func TestCancelledThatIsNoID(t *testing.T) {
	t.Parallel()
	s, _ := alone(t, &Options{})
	s.cancelOne(&nats.Msg{Data: []byte("a." + strings.Repeat("1", 1<<20))})
	test.Equal(t, len(s.cancelled.young), 0)
	longest := id{newID(), fmt.Sprint(uint64(1<<64 - 1))}
	s.cancelOne(&nats.Msg{Data: []byte(longest.String())})
	test.Equal(t, s.cancelled.has(longest), true)
}

// Clients that nobody asks about any more are forgotten, gone ones too, and those that are asked about are not.
func TestLeasesAreForgotten(t *testing.T) {
	t.Parallel()
	s, _ := alone(t, &Options{})
	const clients = 3000
	long := time.Now().Add(-time.Hour)
	for i := range clients {
		s.leases[fmt.Sprint("alive-", i)] = &lease{seen: long, asked: long}
		s.leases[fmt.Sprint("gone-", i)] = &lease{missing: long, asked: long}
		s.leases[fmt.Sprint("needed-", i)] = &lease{missing: long, asked: time.Now()}
	}
	test.Equal(t, s.leaseEnded("new", time.Minute), false)
	test.Equal(t, len(s.leases), clients+1)
	test.Equal(t, s.leaseEnded("needed-1", time.Minute), true)
	test.Equal(t, s.leaseEnded("needed-1", time.Minute), true) // for its other tasks
}

// A table of clients that are all needed is not looked through for each new one.
func TestManyLeasesAreLookedThroughSeldom(t *testing.T) {
	t.Parallel()
	s, _ := alone(t, &Options{})
	now := time.Now()
	for i := range 4096 {
		s.forgetLeases(now)
		s.leases[fmt.Sprint(i)] = &lease{asked: now}
	}
	if s.manyLeases < 4096 {
		t.Errorf("it is looked through at %d", s.manyLeases)
	}
}
