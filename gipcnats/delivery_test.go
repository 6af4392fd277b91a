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

// handed is a task's message that the test hands to a Serve as the server would.
type handed struct {
	delivery // nil: what a test doesn't expect is not there
	subject  string
	data     []byte
	number   uint64 // of deliveries, this one included
	back     func() // is called by Nak, before it returns. nil: nothing
	ended    string // how it was settled
}

func (d *handed) Subject() string                    { return d.subject }
func (d *handed) Data() []byte                       { return d.data }
func (d *handed) Number() uint64                     { return d.number }
func (d *handed) Ack() error                         { d.ended = "ack"; return nil }
func (d *handed) NakWithDelay(_ time.Duration) error { return d.Nak() }

func (d *handed) Nak() error {
	d.ended = "nak"
	if d.back != nil {
		d.back()
	}
	return nil
}

// alone returns a Serve that takes nothing by itself, and deliveries of one task for it.
func alone(t testing.TB, o *Options) (s *server, deliver func(number uint64) *handed) {
	t.Helper()
	kind := kindOfTask(obey, "")
	s, err := newServer(test.Context(t), connect(t, startServer(t).url()), kind, "obey me", *resolved(t, o))
	test.Check(t, err)
	t.Cleanup(s.cut)
	data := make([]byte, taskHead)
	head := taskMessage{lease: time.Minute}
	head.head(data)
	return s, func(number uint64) *handed {
		return &handed{subject: s.task(kind, id{"client", "1"}), data: data, number: number}
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
	s.preparing = 1 // as came counts it
	s.run(deliver(1))
	test.Equal(t, s.preparing, 0)
}

// A Serve asks for several tasks at once, and for more when half of those have come: each request costs the server something.
func TestPullsForManySlots(t *testing.T) {
	t.Parallel()
	s, _ := alone(t, &Options{})
	free := 64
	s.free, s.has = func() int { return free }, func() int { return 0 }
	for _, c := range []struct{ free, pulling, want int }{
		{64, 0, 64}, {64, 33, 0}, {64, 32, 32}, {1, 0, 1}, {1, 1, 0}, {2, 1, 1}, {0, 0, 1}, {0, 1, 0},
	} {
		free, s.pulling = c.free, c.pulling
		if n := s.room(); n != c.want || s.pulling != c.pulling+n {
			t.Errorf("%d are free and %d were asked for: asks for %d more, want %d", c.free, c.pulling, n, c.want)
		}
	}
}

// What was asked for, and was lost with its request, is asked for again.
func TestLostPulls(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*inbox){
		"silence":    func(in *inbox) { in.heard = in.heard.Add(-2*pullHeartbeat - time.Second) },
		"reconnect":  func(in *inbox) { in.epoch-- },
		"no publish": func(in *inbox) { in.broke = nats.ErrInvalidConnection },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := alone(t, &Options{})
			s.pulling = 3
			in := s.ask(nil, 3)
			test.Equal(t, s.checked(in), in)
			s.mu.Lock()
			pulling := s.pulling
			s.mu.Unlock()
			test.Equal(t, pulling, 3)
			s.mu.Lock()
			lose(in)
			s.mu.Unlock()
			test.Equal(t, s.checked(in), nil)
			s.jobs.Wait()
			test.Equal(t, s.pulling, 0)
			test.Equal(t, in.over, true)
		})
	}
}

// A request that ends counts for as much as it has not got. One that is old has time to get it.
func TestPullsThatEnd(t *testing.T) {
	t.Parallel()
	s, deliver := alone(t, &Options{})
	s.pulling = 5
	in := s.ask(nil, 5)
	s.came(in, status("408", "2"))
	test.Equal(t, s.pulling, 3)
	s.came(in, status("100", ""))
	test.Equal(t, s.pulling, 3)
	in.born = in.born.Add(-pullAge - time.Second)
	test.Equal(t, s.checked(in), nil)
	s.load = func([]byte) (start, error) {
		return func(_ context.Context, left func()) outcome { left(); return outcome{cancelled: true} }, nil
	}
	m := deliver(1)
	_, err := s.publish(t.Context(), &nats.Msg{Subject: m.subject, Data: m.data})
	test.Check(t, err)
	test.Eventually(t, "the task comes to the old inbox", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.pulling == 2 && s.finished.has(idOf(m.subject))
	})
	s.stop(nil)
	s.jobs.Wait()
	test.Equal(t, s.pulling, 0)
}

func status(code, left string) *nats.Msg {
	return &nats.Msg{Header: nats.Header{"Status": {code}, "Nats-Pending-Messages": {left}}}
}

// The number of deliveries stands in the subject of a message's acks, whatever the server says besides.
func TestNumberOfADelivery(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]uint64{
		"$JS.ACK.stream.consumer.7.1.2.3.4":                   7,
		"$JS.ACK.hub.account.stream.consumer.8.1.2.3.4":       8,
		"$JS.ACK.hub.account.stream.consumer.9.1.2.3.4.token": 9,
		"$JS.ACK.stream.consumer":                             1,
		"":                                                    1,
	} {
		test.Equal(t, pulled{nil, &nats.Msg{Reply: reply}}.Number(), want)
	}
}
