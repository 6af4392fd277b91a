package gipcnats

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

// delivery is a task's message that the test hands to a Serve as the server would.
type delivery struct {
	jetstream.Msg // nil: what a test doesn't expect is not there
	subject       string
	data          []byte
	number        uint64 // of deliveries, this one included
	back          func() // is called by Nak, before it returns. nil: nothing
	ended         string // how it was settled
}

func (d *delivery) Subject() string { return d.subject }
func (d *delivery) Data() []byte    { return d.data }
func (d *delivery) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{NumDelivered: d.number}, nil
}
func (d *delivery) Ack() error                         { d.ended = "ack"; return nil }
func (d *delivery) NakWithDelay(_ time.Duration) error { return d.Nak() }

func (d *delivery) Nak() error {
	d.ended = "nak"
	if d.back != nil {
		d.back()
	}
	return nil
}

// alone returns a Serve that takes nothing by itself, and deliveries of one task for it.
func alone(t testing.TB, o *Options) (s *server, deliver func(number uint64) *delivery) {
	t.Helper()
	kind := kindOfTask(obey, "")
	s, err := newServer(test.Context(t), connect(t, startServer(t).url()), kind, "obey me", *resolved(t, o))
	test.Check(t, err)
	t.Cleanup(s.cut)
	data := make([]byte, taskHead)
	head := taskMessage{lease: time.Minute}
	head.head(data)
	return s, func(number uint64) *delivery {
		return &delivery{subject: s.task(kind, id{"client", "1"}), data: data, number: number}
	}
}

// A task that is given back may come again at once, before Nak has returned: it runs then, and is not taken for one that runs
// already.
func TestDeliveryBehindANak(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]outcome{
		"its worker died": {worker: &pool.WorkerError{Starts: 1, Exit: &gipc.ExitError{}}},
		"it is refused":   {back: pool.ErrQueueFull},
	} {
		t.Run(name, func(t *testing.T) {
			s, deliver := alone(t, &Options{})
			s.load = func([]byte) (start, error) {
				return func(_ context.Context, left func()) outcome { left(); return o }, nil
			}
			first, second := deliver(1), deliver(2)
			var again *job
			first.back = func() { again = s.admit(second) }
			s.run(first)
			test.Equal(t, first.ended, "nak")
			if again == nil {
				t.Fatal("the second delivery is swallowed")
			}
			if again.ctx.Err() != nil || s.running[again.id] != again {
				t.Error("the end of the first ends the second")
			}
		})
	}
}

// deaf is a stream that can't be read for a while.
type deaf struct {
	jetstream.Stream
	failures int // to come. negative: for ever
}

func (d *deaf) GetLastMsgForSubject(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	if d.failures != 0 {
		d.failures--
		return nil, nats.ErrTimeout
	}
	return d.Stream.GetLastMsgForSubject(ctx, subject)
}

// A record of starts that can't be read stays as it is: a task that kills its workers does not begin anew.
func TestUnreadableRecordOfStarts(t *testing.T) {
	t.Parallel()
	for name, failures := range map[string]int{"once": 1, "for ever": -1} {
		t.Run(name, func(t *testing.T) {
			s, deliver := alone(t, &Options{})
			m := deliver(3)
			id := idOf(m.subject)
			test.Check(t, s.writeStarts(&job{id: id}, 4))
			state := s.state
			s.state = &deaf{state, failures}
			j := s.admit(m)
			s.leases[id.client] = &lease{seen: time.Now()} // its lease is not looked for in the stream
			o := s.prepare(j)
			if o == nil || o.back == nil {
				t.Fatalf("the outcome is %v", o)
			}
			s.settle(j, o)
			test.Equal(t, m.ended, "nak")
			s.state = state
			j = &job{id: id}
			test.Check(t, s.readStarts(j))
			test.Equal(t, j.starts, 4)
		})
	}
}

// A record of starts that makes no sense does not send its task round for ever.
func TestRecordOfStartsThatMakesNoSense(t *testing.T) {
	t.Parallel()
	s, deliver := alone(t, &Options{})
	m := deliver(3)
	id := idOf(m.subject)
	test.Check(t, s.publishOnce(t.Context(), &nats.Msg{Subject: s.starts(id), Data: []byte("nonsense")}))
	j := &job{id: id}
	test.Check(t, s.readStarts(j))
	test.Equal(t, j.starts, 1)
}

// As long as the Pool does not have a task that has come, no other one is pulled for the same slot: not while its argument is decoded,
// and not while the Pool is about to take it.
func TestNoPullForASlotThatIsSpokenFor(t *testing.T) {
	t.Parallel()
	s, deliver := alone(t, &Options{})
	free, has := 1, 0
	s.free, s.has = func() int { return free }, func() int { return has }
	check := func(when string, want int) {
		t.Helper()
		if n := s.room(); n != want {
			t.Errorf("%s: room for %d more, want %d", when, n, want)
		}
		s.pulling = 0
	}
	s.load = func([]byte) (start, error) {
		check("while it is decoded", 0)
		return func(_ context.Context, left func()) outcome {
			check("before the Pool has it", 0)
			free, has = 0, 1
			check("while it runs", 0)
			free = 1
			check("while it runs and another slot is free", 1)
			free, has = 1, 0
			left()
			check("when it has left the Pool", 1)
			return outcome{cancelled: true}
		}, nil
	}
	check("before it comes", 1)
	s.preparing = 1 // as pullOne counts it
	s.run(deliver(1))
	test.Equal(t, s.preparing, 0)
}
