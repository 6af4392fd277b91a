package gipcnats

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// signsOfLife tells the server three times in AckWait which tasks run here, so that they are not given to others.
func (s *server) signsOfLife(ctx context.Context) {
	for sleep(ctx, s.opts.AckWait/3) == nil {
		for _, j := range s.all(0) {
			s.said(j.id, s.latest(j).InProgress())
		}
	}
}

// shared makes a consumer that several take from, or takes the one that there is. It makes its AckWait longer, never shorter: each of
// them sends signs of life three times in its own, which would come too late.
func shared(ctx context.Context, stream jetstream.Stream, config jetstream.ConsumerConfig) (consumer jetstream.Consumer, err error) {
	err = insist(ctx, func(ctx context.Context) error {
		consumer, err = tryShared(ctx, stream, config)
		return err
	})
	return consumer, err
}

func tryShared(ctx context.Context, stream jetstream.Stream, config jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := stream.Consumer(ctx, config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = stream.CreateConsumer(ctx, config)
		if errors.Is(err, jetstream.ErrConsumerExists) { // another one was faster, with other options
			consumer, err = stream.Consumer(ctx, config.Durable)
		}
	}
	if err != nil || consumer.CachedInfo().Config.AckWait >= config.AckWait {
		return consumer, err
	}
	longer := consumer.CachedInfo().Config // what an administrator has changed stays
	longer.AckWait = config.AckWait
	return stream.UpdateConsumer(ctx, longer)
}

// keepAckWait looks now and then whether a consumer's AckWait is still long enough: two that make it longer at the same time may
// overtake each other, and an administrator may make it shorter.
func (b *broker) keepAckWait(ctx context.Context, stream jetstream.Stream, config jetstream.ConsumerConfig) {
	for sleep(ctx, b.opts.AckWait/3) == nil {
		attempt, cancel := context.WithTimeout(ctx, answerTime)
		if _, err := shared(attempt, stream, config); err != nil {
			b.opts.Logger.Debug("gipcnats: the consumer's AckWait is not known", "consumer", config.Durable, "error", err)
		}
		cancel()
	}
}

// looking cancels tasks that nobody waits for any more: whose client is gone, or that are not in their stream any more,
// because they were cancelled and the message that says so was lost, or because somebody else has finished them.
func (s *server) looking(ctx context.Context) {
	for sleep(ctx, s.opts.AckWait/3) == nil {
		s.lookForClients(ctx)
		for _, j := range s.all(s.opts.AckWait / 3) { // a server of a cluster may not have younger ones yet
			if s.leaseEnded(j.id.client, j.task.lease) {
				j.cancel(errGone)
				continue
			}
			if m, err := find(ctx, s.tasks, s.task(s.kind, j.id)); err == nil && m == nil {
				j.cancel(errGone)
			}
		}
	}
}

const maxClients = 1 << 14 // more of them are noticed by their tasks only

// lookForClients deletes the tasks that wait of clients that are gone. It looks at each client that has had a lease since this Serve is
// there, not at each task: there may be a million of those. A client that was gone before is noticed when one of its tasks comes.
func (s *server) lookForClients(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTime) // for all of it: the rest has its turn next time
	defer cancel()
	leases := s.lease("*")
	info, err := s.state.Info(ctx, jetstream.WithSubjectFilter(leases))
	if err != nil {
		return // the server is away, nobody can tell
	}
	for subject := range info.State.Subjects {
		if len(s.clients) >= maxClients {
			break
		}
		s.clients[strings.TrimPrefix(subject, strings.TrimSuffix(leases, "*"))] = true
	}
	for client := range s.clients {
		if info.State.Subjects[s.lease(client)] == 0 && s.isForgotten(ctx, client) {
			delete(s.clients, client)
		}
	}
}

// isForgotten says whether a client that has no lease has no tasks either. If it has, and is gone, they are deleted.
func (s *server) isForgotten(ctx context.Context, client string) bool {
	m, err := find(ctx, s.tasks, s.task(s.kind, id{client, "*"}))
	if err != nil || m == nil {
		return err == nil
	}
	if task, err := parseTask(m.Data); err == nil {
		s.leaseEnded(client, task.lease)
	}
	return false
}

// all returns the tasks that have been here for so long.
func (s *server) all(age time.Duration) []*job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []*job
	for _, j := range s.running {
		if time.Since(j.since) >= age {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

const maxID = 64 // bytes of a task's id, in text

// cancelOne cancels a task that a client gives up. One that is not here may be on its way. What is too long for an id comes from no
// client, and would be kept.
func (s *server) cancelOne(m *nats.Msg) {
	if len(m.Data) > maxID {
		return
	}
	id := idOf(string(m.Data))
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.running[id]; j != nil {
		j.cancel(errGone)
	} else {
		s.cancelled.add(id)
	}
}

// lease is what this Serve knows of a client's.
type lease struct {
	asked   time.Time // when somebody last wanted to know
	seen    time.Time // when it was there
	missing time.Time // since when it is not; zero if it is
	epoch   uint64    // the count of reconnects at that time
}

// leaseEnded says whether a client is gone, and deletes its tasks then. A lease that isn't there must be missing for as long
// again, while the connection holds: when a server comes back, the clients must renew first what has ended in the meantime.
func (s *server) leaseEnded(client string, length time.Duration) bool {
	now := time.Now()
	s.mu.Lock()
	l := s.leases[client]
	if l == nil {
		s.forgetLeases(now)
		l = &lease{}
		s.leases[client] = l
	}
	l.asked = now
	fresh := now.Sub(l.seen) < length/3
	s.mu.Unlock()
	if fresh {
		return false
	}
	m, err := latest(s.work, s.state, s.lease(client))
	if err != nil {
		s.reopen(s.work, err)
		return false
	}
	epoch := s.nc.Stats().Reconnects
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case m != nil:
		l.seen, l.missing = now, time.Time{}
		return false
	case l.missing.IsZero() || l.epoch != epoch:
		l.missing, l.epoch = now, epoch
		return false
	case now.Sub(l.missing) < length:
		return false
	}
	s.opts.Logger.Warn("gipcnats: a client is gone, its tasks are cancelled", "task", s.name, "client", client)
	go s.purge(s.tasks, s.task(s.kind, id{client, "*"}))
	return true
}

const fewLeases = 1024

// forgetLeases keeps the table small: what nobody has asked about for longer than looking pauses belongs to no task here. It looks
// through the table each time that this has doubled. The caller holds the mutex.
func (s *server) forgetLeases(now time.Time) {
	if len(s.leases) < max(fewLeases, s.manyLeases) {
		return
	}
	for client, l := range s.leases {
		if now.Sub(l.asked) > max(time.Minute, s.opts.AckWait) {
			delete(s.leases, client)
		}
	}
	s.manyLeases = 2 * len(s.leases)
}

// renew tells the server that the client lives.
func (c *client) renew() error {
	ctx, cancel := context.WithTimeout(c.ctx, answerTime)
	defer cancel()
	return c.publishOnce(ctx, c.leaseMessage())
}

func (c *client) leaseMessage() *nats.Msg {
	return &nats.Msg{Subject: c.lease(c.id), Header: withTTL(c.opts.Lease)}
}

// keepLease renews the client's lease while it lives. What is not renewed ends by itself.
func (c *client) keepLease() {
	pause := c.opts.Lease / 3
	for sleep(c.ctx, pause) == nil {
		pause = c.opts.Lease / 3
		if err := c.renew(); err != nil && c.ctx.Err() == nil {
			c.opts.Logger.Warn("gipcnats: the client's lease is not renewed, trying again", "error", err)
			pause = lastPause
		}
	}
}

// watchWorkers gives up tasks that nobody serves.
func (c *client) watchWorkers() {
	interval := min(max(c.opts.NoWorker/4, 10*time.Millisecond), answerTime)
	for sleep(c.ctx, interval) == nil {
		if !c.someWait() || c.isServed() {
			c.mu.Lock()
			c.served = time.Now()
			c.mu.Unlock()
			continue
		}
		c.mu.Lock()
		for n, w := range c.waiting {
			if !w.sent.IsZero() && time.Since(later(w.sent, c.served)) >= c.opts.NoWorker {
				delete(c.waiting, n)
				w.result <- answer{err: ErrNoWorker}
			}
		}
		c.mu.Unlock()
	}
}

// isServed says whether somebody serves the task, or nobody can tell.
func (c *client) isServed() bool {
	ctx, cancel := context.WithTimeout(c.ctx, answerTime)
	defer cancel()
	_, err := c.nc.RequestWithContext(ctx, c.who(c.kind), nil)
	return !errors.Is(err, nats.ErrNoResponders)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// someWait says whether a stored task has no result yet.
func (c *client) someWait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.waiting {
		if !w.sent.IsZero() {
			return true
		}
	}
	return false
}

// audit ends each Do whose task is gone without a result, so that none waits for ever. A task is gone if neither it nor its
// result was in its stream, twice, a lease apart: a result that the client has fetched has reached its Do in between.
func (c *client) audit() {
	for sleep(c.ctx, c.opts.Lease) == nil {
		for _, n := range c.overdue() {
			missing, err := c.isMissing(id{c.id, strconv.FormatUint(n, 10)})
			if err != nil {
				break // the server is away, nobody can tell
			}
			c.judge(n, missing)
		}
	}
}

// overdue returns the numbers of tasks that were stored a lease ago.
func (c *client) overdue() []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var old []uint64
	for n, w := range c.waiting {
		if !w.sent.IsZero() && time.Since(w.sent) >= c.opts.Lease {
			old = append(old, n)
		}
	}
	return old
}

// isMissing says whether the server has neither a task nor its result.
func (c *client) isMissing(id id) (bool, error) {
	m, err := find(c.ctx, c.tasks, c.task(c.kind, id))
	if err != nil || m != nil {
		return false, err
	}
	m, err = find(c.ctx, c.results, c.result(id))
	return err == nil && m == nil, err
}

// judge ends a Do whose task was missing before.
func (c *client) judge(n uint64, missing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiting[n]
	if w == nil {
		return
	}
	if missing && w.missing {
		delete(c.waiting, n)
		w.result <- answer{err: ErrLost}
	}
	w.missing = missing
}

// recent remembers ids for about age, some thousands at most.
type recent struct {
	age        time.Duration
	young, old map[id]struct{}
	turned     time.Time
}

const maxRecent = 8192

func (r *recent) add(i id) {
	if now := time.Now(); r.young == nil || len(r.young) >= maxRecent || now.Sub(r.turned) > r.age {
		r.young, r.old, r.turned = map[id]struct{}{}, r.young, now
	}
	r.young[i] = struct{}{}
}

func (r *recent) has(i id) bool {
	_, young := r.young[i]
	_, old := r.old[i]
	return young || old
}

// sleep waits, and returns the ctx's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// age says how long ago it was t. A machine's clocks may disagree: the monotonic one stands still while it sleeps, the other one may be
// set. The greater age counts, and what lies in the future, since the clock was set back, is older than anything.
func age(t time.Time) time.Duration {
	now := time.Now()
	return greaterAge(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

func greaterAge(monotonic, wall time.Duration) time.Duration {
	if wall < 0 {
		return math.MaxInt64
	}
	return max(monotonic, wall)
}
