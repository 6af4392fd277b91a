package gipcnats

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pullExpiry    = 10 * time.Second // a pull that found nothing is asked again
	pullHeartbeat = 2 * time.Second  // a server that is silent for twice this has lost the pull
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
		c.opts.Logger.Debug("gipcnats: no results, trying again", "error", err)
		_ = sleep(c.ctx, lastPause)
	}
}

func (c *client) receiveResults() error {
	consumer, err := c.results.CreateOrUpdateConsumer(c.ctx, jetstream.ConsumerConfig{
		Durable: c.id, FilterSubject: c.result(id{c.id, ">"}), AckPolicy: jetstream.AckExplicitPolicy,
		InactiveThreshold: 2 * c.opts.Lease, Replicas: c.opts.Replicas, MemoryStorage: c.opts.Memory,
	})
	if err != nil {
		c.reopen(c.ctx, err)
		return err
	}
	results, err := consumer.Messages(jetstream.PullMaxMessages(resultsAhead),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return err
	}
	defer results.Stop()
	for {
		m, err := results.Next(jetstream.NextContext(c.ctx))
		if err != nil {
			return err
		}
		c.took(m)
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

// renew tells the server that the client lives.
func (c *client) renew() error {
	ctx, cancel := context.WithTimeout(c.ctx, answerTime)
	defer cancel()
	return c.publishOnce(ctx, &nats.Msg{Subject: c.lease(c.id)}, jetstream.WithMsgTTL(c.opts.Lease))
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
