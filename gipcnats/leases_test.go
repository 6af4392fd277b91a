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

// Tasks that wait are cancelled when their client is gone, also if none of them ever came to a Serve.
func TestWaitingTasksOfALostClient(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	s, deliver := alone(t, &Options{})
	const ghost = "client"
	waits := func() bool {
		m, err := latest(ctx, s.tasks, s.task(s.kind, id{ghost, "*"}))
		test.Check(t, err)
		return m != nil
	}
	m := deliver(1)
	for _, m := range []*nats.Msg{{Subject: s.lease(ghost)}, {Subject: m.subject, Data: m.data}} {
		_, err := s.publish(ctx, m)
		test.Check(t, err)
	}
	s.lookForClients(ctx)
	s.purge(s.state, s.lease(ghost))
	s.lookForClients(ctx)
	test.Equal(t, waits(), true) // the client may renew its lease
	l := s.leases[ghost]
	if l == nil {
		t.Fatal("nobody has noticed that the lease is gone")
	}
	l.missing = l.missing.Add(-time.Hour)
	s.lookForClients(ctx)
	test.Eventually(t, "the task is gone", func() bool { return !waits() })
	s.lookForClients(ctx)
	test.Equal(t, len(s.clients), 0)
}

// A client that lives, and one that was closed, are no lost ones.
func TestClientsThatAreNotLost(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	s, _ := alone(t, &Options{})
	for _, client := range []string{"alive", "closed"} {
		_, err := s.publish(ctx, &nats.Msg{Subject: s.lease(client)})
		test.Check(t, err)
	}
	s.lookForClients(ctx)
	test.Equal(t, len(s.clients), 2)
	s.purge(s.state, s.lease("closed"))
	s.lookForClients(ctx)
	test.Equal(t, len(s.clients), 1)
	test.Equal(t, len(s.leases), 0)
}
