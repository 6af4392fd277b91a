package gipcnats

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pullExpiry    = 10 * time.Second // a pull that found nothing ends
	pullSlack     = 2 * time.Second  // by so much later the server has said that it has ended
	pullAge       = pullExpiry       // after that an inbox gets no more: a request that was lost holds slots until it is closed
	pullHeartbeat = 2 * time.Second  // a server that is silent for twice this has lost the pull
	maxRequests   = 1 << 16          // how many requests of all Serves or Readers may wait: the server drops the next one without a word
	resultsAhead  = 256              // how many results the server sends without being asked again
)

// receive hands out results until the client ends.
func (c *client) receive() {
	for c.ctx.Err() == nil {
		err := c.receiveResults()
		if c.nc.IsClosed() {
			c.end(nats.ErrConnectionClosed)
			return
		}
		level := slog.LevelDebug
		if c.final(err) { // it will not do by itself
			level = slog.LevelWarn
		}
		c.opts.Logger.Log(c.ctx, level, "gipcnats: no results, trying again", "error", err)
		_ = sleep(c.ctx, lastPause)
	}
}

func (c *client) receiveResults() error {
	consumer, err := c.results.CreateOrUpdateConsumer(c.ctx, jetstream.ConsumerConfig{
		Durable: c.id, FilterSubject: c.result(id{c.id, ">"}), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: c.opts.AckWait, InactiveThreshold: 2 * c.opts.Lease, MemoryStorage: c.opts.Memory,
	})
	if err != nil {
		c.reopen(c.ctx, err)
		return err
	}
	failed := make(chan error, 1)
	results, err := consumer.Consume(c.took, jetstream.PullMaxMessages(resultsAhead), jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(pullHeartbeat), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			select {
			case failed <- err:
			default:
			}
		}))
	if err != nil {
		return err
	}
	defer results.Stop()
	select {
	case err := <-failed:
		return err
	case <-results.Closed():
		return jetstream.ErrMsgIteratorClosed
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// took gives a result to its Do. One that nobody waits for was sent twice, or too late. The value of a large one has the name of its
// task: it may be the one that Do is fetching.
func (c *client) took(m jetstream.Msg) {
	id := idOf(m.Subject())
	r, err := parseResult(m.Data())
	n, notNumber := strconv.ParseUint(id.number, 10, 64)
	if !(notNumber == nil && c.answer(n, answer{r, err})) && r.large {
		go c.drop(m.Subject())
	}
	if err := m.Ack(); err != nil {
		c.opts.Logger.Debug("gipcnats: a result is not acknowledged", "task", id.String(), "error", err)
	}
}

// delivery is a task's message, as the server delivered it.
type delivery interface {
	Subject() string
	Data() []byte
	Number() uint64 // how often it was delivered
	Ack() error
	Nak() error
	NakWithDelay(delay time.Duration) error
	InProgress() error
	TermWithReason(reason string) error
}

// pulled is a delivery that a pull has brought.
type pulled struct {
	nc *nats.Conn
	m  *nats.Msg
}

func (p pulled) say(what string) error { return p.nc.Publish(p.m.Reply, []byte(what)) }
func (p pulled) Subject() string       { return p.m.Subject }
func (p pulled) Data() []byte          { return p.m.Data }
func (p pulled) Ack() error            { return p.say("+ACK") }
func (p pulled) Nak() error            { return p.say("-NAK") }
func (p pulled) InProgress() error     { return p.say("+WPI") }

func (p pulled) NakWithDelay(delay time.Duration) error {
	return p.say(fmt.Sprintf(`-NAK {"delay": %d}`, delay))
}

func (p pulled) TermWithReason(reason string) error { return p.say("+TERM " + reason) }

// Number reads the subject of the acks: $JS.ACK, the domain and the account if the server says them, stream, consumer, number.
func (p pulled) Number() uint64 {
	skip := 4
	if strings.Count(p.m.Reply, ".") > 8 {
		skip = 6
	}
	rest := p.m.Reply
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	number, _, _ := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 1
	}
	return n
}

// inbox is where tasks come that were asked for. The server's mutex guards its fields without a comment.
type inbox struct {
	subject string // constant
	sub     *nats.Subscription
	epoch   uint64        // the count of reconnects when it was made
	born    time.Time     // when it was made
	closed  chan struct{} // closed behind the last message

	asked int       // tasks that were asked for and have not come
	heard time.Time // when the server was last heard, or asked while it owed nothing
	broke error     // why asking again is of no use
	over  bool      // what comes now goes back
}

// pull asks for as many tasks as the Pool would start at once, until ctx ends.
func (s *server) pull() {
	ticker := time.NewTicker(100 * time.Millisecond) // for what others do with the Pool
	defer ticker.Stop()
	var in *inbox
	for s.ctx.Err() == nil {
		if s.nc.IsConnected() {
			in = s.checked(in)
			if n := s.room(); n > 0 {
				in = s.ask(in, n)
			}
		}
		select {
		case <-s.wake:
		case <-ticker.C:
			if s.nc.IsClosed() {
				s.stop(nats.ErrConnectionClosed)
				s.cut()
			}
		case <-s.ctx.Done():
		}
	}
	if in != nil {
		s.end(in)
	}
}

// checked returns the inbox if it is still good, and nil otherwise. One that is old gets no more requests, but what was asked for may
// still come: if a request got lost on its way, its tasks are not waited for for ever.
func (s *server) checked(in *inbox) *inbox {
	if in == nil {
		return nil
	}
	s.mu.Lock()
	err := in.broke
	s.mu.Unlock()
	switch {
	case err != nil:
		s.jobs.Go(func() { s.end(in) })
		s.opts.Logger.Debug("gipcnats: no tasks, trying again", "task", s.name, "error", err)
		if sleep(s.ctx, lastPause) == nil {
			if err := s.openConsumer(); err != nil { // it may be gone
				s.opts.Logger.Debug("gipcnats: the consumer can't be opened, trying again", "task", s.name, "error", err)
			}
		}
	case s.isLost(in):
		s.jobs.Go(func() { s.end(in) })
	case time.Since(in.born) > pullAge:
		s.jobs.Go(func() {
			for last := time.Now().Add(pullExpiry + pullSlack); time.Now().Before(last) && !s.isLost(in); {
				if sleep(s.ctx, lastPause) != nil {
					break
				}
			}
			s.end(in)
		})
	default:
		return in
	}
	return nil
}

// isLost says whether the server may have forgotten an inbox.
func (s *server) isLost(in *inbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return in.asked > 0 && time.Since(in.heard) > 2*pullHeartbeat || in.epoch != s.nc.Stats().Reconnects
}

// ask asks the server for n tasks, which room has counted. It returns the inbox that they come to, a new one if there is none.
func (s *server) ask(in *inbox, n int) *inbox {
	if in == nil {
		var err error
		if in, err = s.newInbox(); err != nil {
			s.count(&s.pulling, -n)
			s.said(id{}, err)
			_ = sleep(s.ctx, lastPause)
			return nil
		}
	}
	s.mu.Lock()
	if in.asked == 0 {
		in.heard = time.Now()
	}
	in.asked += n
	s.mu.Unlock()
	if err := s.askFor(n, s.taskStream(s.kind), s.kind.print, in.subject); err != nil {
		s.mu.Lock()
		in.broke = err
		s.mu.Unlock()
	}
	return in
}

// askFor asks the server for n messages of a consumer, which come to inbox.
func (b *broker) askFor(n int, stream, consumer, inbox string) error {
	request := fmt.Sprintf(`{"batch":%d,"expires":%d,"idle_heartbeat":%d}`, n, pullExpiry, pullHeartbeat)
	return b.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+consumer, inbox, []byte(request))
}

func (s *server) newInbox() (in *inbox, err error) {
	in = &inbox{subject: s.nc.NewInbox(), epoch: s.nc.Stats().Reconnects, born: time.Now(), closed: make(chan struct{})}
	if in.sub, err = s.nc.Subscribe(in.subject, func(m *nats.Msg) { s.came(in, m) }); err != nil {
		return nil, err
	}
	in.sub.SetClosedHandler(func(string) { close(in.closed) }) // behind the last message
	return in, in.sub.SetPendingLimits(-1, -1)                 // no more comes than was asked for
}

// came takes what has come into an inbox: a task, which it runs, or what the server says of a request.
func (s *server) came(in *inbox, m *nats.Msg) {
	d := pulled{s.nc, m}
	s.mu.Lock()
	in.heard = time.Now()
	over := in.over
	switch {
	case isStatus(m):
		s.told(in, m)
		over = false
	case !over:
		s.owesLess(in, 1)
		s.preparing++
		select {
		case s.idle <- d:
		default:
			s.jobs.Go(func() { s.runs(d) })
		}
	}
	s.mu.Unlock()
	if over {
		s.handBack(d)
	}
}

// runs runs one task after the other: a goroutine that has run one has the stack that it takes.
func (s *server) runs(d delivery) {
	for s.run(d); ; s.run(d) {
		s.lookAgain()
		select {
		case d = <-s.idle:
		case <-s.ctx.Done():
			return
		}
	}
}

// told looks at what the server says of a request. The caller holds the mutex.
func (s *server) told(in *inbox, m *nats.Msg) {
	switch m.Header.Get("Status") {
	case "100": // it lives
	case "408": // it has waited long enough
		left, _ := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		s.owesLess(in, left)
	default:
		in.broke = errAnswered(m)
	}
	s.lookAgain()
}

func nextWithin(ctx context.Context, sub *nats.Subscription, patience time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// isStatus says whether the server speaks of a request, and sends nothing that was asked for.
func isStatus(m *nats.Msg) bool { return len(m.Data) == 0 && m.Header.Get("Status") != "" }

// errAnswered is that of a request that the server has ended.
func errAnswered(m *nats.Msg) error {
	return fmt.Errorf("the server answered %s %s", m.Header.Get("Status"), m.Header.Get("Description"))
}

// owesLess counts tasks that have come, or won't come. The caller holds the mutex.
func (s *server) owesLess(in *inbox, n int) {
	n = min(max(n, 0), in.asked)
	in.asked -= n
	s.pulling -= n
}

// end closes an inbox. What the server has sent in the meantime goes back to it.
func (s *server) end(in *inbox) {
	s.mu.Lock()
	in.over = true
	s.owesLess(in, in.asked)
	s.mu.Unlock()
	if in.sub.Drain() != nil {
		return // the connection is closed
	}
	ctx, cancel := context.WithTimeout(s.work, answerTime)
	defer cancel()
	select {
	case <-in.closed:
	case <-ctx.Done():
	}
}
