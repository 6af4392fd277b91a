package gipcnats

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/pool"
)

// Client gives tasks to whoever serves them. NewClient makes it. Its methods may be called from any number of goroutines at
// once.
type Client[A, R any] struct {
	task *pool.Task[A, R]
	core *client
}

// client is what a Client is without its types.
type client struct {
	*broker
	kind    kindOf
	id      string
	tasks   jetstream.Stream
	results jetstream.Stream
	ctx     context.Context // ends with Close, or the connection
	end     context.CancelCauseFunc
	done    sync.WaitGroup     // the client's goroutines
	asked   *nats.Subscription // Serves ask here whether a task is wanted

	mu       sync.Mutex
	number   uint64
	waiting  map[uint64]*waiter
	fetching map[uint64]bool // tasks whose large result has come, and may be fetched by their Do
	served   time.Time       // when somebody was last known to serve the task, or nobody could know
}

// waiter is one Do that waits for its result.
type waiter struct {
	result  chan answer // gets one
	sent    time.Time   // when its task was stored; zero until then. The client's mutex guards it
	missing bool        // its task was not in the stream when audit last looked
}

// answer is what a Do gets.
type answer struct {
	result resultMessage
	err    error
}

// NewClient returns a Client of the task t, and makes the streams that are missing. It returns an error if the server doesn't
// answer within 30 s, if the options make no sense, or if values of these types can't be sent. The options, and nil, may be
// shared.
//
// The client renews a lease with the server while it lives, and holds some goroutines. Close it when it is not needed any more.
func NewClient[A, R any](nc *nats.Conn, t *pool.Task[A, R], opts *Options) (*Client[A, R], error) {
	if t == nil {
		panic("gipcnats: NewClient got no Task")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	fail := func(err error) (*Client[A, R], error) {
		return nil, fmt.Errorf("gipcnats: new client of task %s: %w", t.Name(), err)
	}
	if err := o.resolve(); err != nil {
		return fail(err)
	}
	if err := errors.Join(gipc.CheckCodec(t.ArgCodec()), gipc.CheckCodec(t.ResultCodec())); err != nil {
		return fail(err)
	}
	c, err := newClient(nc, kindOfTask(t, o.Version), o)
	if err != nil {
		return fail(err)
	}
	return &Client[A, R]{t, c}, nil
}

func newClient(nc *nats.Conn, kind kindOf, o Options) (*client, error) {
	b, err := newBroker(nc, o)
	if err != nil {
		return nil, err
	}
	c := &client{broker: b, kind: kind, id: newID(), waiting: map[uint64]*waiter{}, fetching: map[uint64]bool{}, served: time.Now()}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	ctx, cancel := context.WithTimeout(c.ctx, openTime)
	defer cancel()
	if c.tasks, err = b.openTasks(ctx, kind); err != nil {
		return nil, err
	}
	if c.results, err = b.openResults(ctx); err != nil {
		return nil, err
	}
	if _, err = b.openState(ctx); err != nil {
		return nil, err
	}
	if _, err = c.publish(ctx, c.leaseMessage()); err != nil {
		return nil, err
	}
	if c.asked, err = nc.Subscribe(c.wanted(c.id), c.answerWanted); err != nil {
		return nil, err
	}
	c.done.Go(c.receive)
	c.done.Go(c.keepLease)
	c.done.Go(c.audit)
	if o.NoWorker > 0 {
		c.done.Go(c.watchWorkers)
	}
	return c, nil
}

// Do gives the task with arg to somebody who serves it, and returns its result. It returns promptly when ctx ends, and the task
// is cancelled where it runs. While the server can't be reached, Do waits.
//
// The errors are listed in the package's documentation.
func (c *Client[A, R]) Do(ctx context.Context, arg A) (R, error) { return c.do(ctx, arg, false) }

// do waits for room in the stream if patient is set.
func (c *Client[A, R]) do(ctx context.Context, arg A, patient bool) (value R, err error) {
	name := c.task.Name()
	message, err := encode(c.task.ArgCodec(), make([]byte, taskHead, taskHead+512), arg)
	if err == nil {
		err = checkSize(message[taskHead:], c.core.opts.MaxValue)
	}
	if err != nil {
		return value, fmt.Errorf("gipcnats: task %s: its argument: %w", name, err)
	}
	r, err := c.core.run(ctx, message, patient)
	if err != nil {
		return value, fmt.Errorf("gipcnats: task %s: %w", name, err)
	}
	if r.kind != resultValue {
		return value, explain(name, r)
	}
	if err := checkSize(r.body, c.core.opts.MaxValue); err != nil {
		return value, fmt.Errorf("gipcnats: task %s: its result: %w", name, err)
	}
	if err := decode(c.task.ResultCodec(), r.body, &value); err != nil {
		var zero R
		return zero, &pool.TaskError{Task: name, Err: err}
	}
	return value, nil
}

// Close ends the client: each Do returns ErrClosed, and its task is cancelled. Close returns when that is sent, or after 5 s.
func (c *Client[A, R]) Close() error {
	k := c.core
	k.end(ErrClosed)
	err := k.asked.Unsubscribe()
	if errors.Is(err, nats.ErrBadSubscription) {
		err = nil // it is not the first Close
	}
	k.done.Wait()
	k.mu.Lock()
	idle := len(k.waiting) == 0
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if !idle { // each Do cancels its task, too. This is one message for all that wait
		k.purge(k.tasks, k.task(k.kind, id{k.id, "*"}))
	}
	e := k.results.DeleteConsumer(ctx, k.id)
	if e != nil && !errors.Is(e, jetstream.ErrConsumerNotFound) && !errors.Is(e, jetstream.ErrStreamNotFound) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("gipcnats: close client of task %s: %w", c.task.Name(), err)
	}
	return nil
}

// String names the client for messages and logs.
func (c *Client[A, R]) String() string {
	return fmt.Sprintf("client %s of task %s", c.core.id, c.task.Name())
}

// run sends a task and waits for its result.
func (c *client) run(ctx context.Context, message []byte, patient bool) (resultMessage, error) {
	if err := ctx.Err(); err != nil {
		return resultMessage{}, causeOf(ctx)
	}
	w := &waiter{result: make(chan answer, 1)}
	n := c.enter(w)
	id := id{c.id, strconv.FormatUint(n, 10)}
	if ctx.Done() == nil {
		ctx = c.ctx
	} else {
		both, stop := either(ctx, c.ctx)
		defer stop()
		ctx = both
	}
	defer func() {
		if c.leave(n) {
			c.dropWithin(ctx, c.result(id))
		}
	}()
	large := !c.inline(len(message))
	if asked, err := c.send(ctx, id, message, large, patient); err != nil {
		switch {
		case asked || ctx.Err() != nil: // it may be stored
			c.giveUp(id, large)
		case large:
			c.dropWithin(ctx, c.task(c.kind, id))
		}
		if ctx.Err() != nil {
			err = causeOf(ctx)
		}
		return resultMessage{}, err
	}
	c.mu.Lock()
	w.sent = time.Now()
	c.mu.Unlock()
	var a answer
	select {
	case a = <-w.result:
	case <-ctx.Done():
		a.err = causeOf(ctx)
	}
	if a.err != nil {
		c.giveUp(id, large)
		return resultMessage{}, a.err
	}
	if !a.result.large {
		return a.result, nil
	}
	a.result.body, a.err = c.getValue(ctx, c.result(id))
	switch {
	case a.err != nil && ctx.Err() != nil:
		a.err = causeOf(ctx)
	case errors.Is(a.err, errNoValue):
		a.err = fmt.Errorf("%w: %w", ErrLost, a.err)
	}
	return a.result, a.err
}

// dropWithin deletes a large value. It waits for that no longer than ctx: the rest is done behind it.
func (c *client) dropWithin(ctx context.Context, subject string) {
	dropped := make(chan struct{})
	go func() {
		defer close(dropped)
		c.drop(subject)
	}()
	select {
	case <-dropped:
	case <-ctx.Done():
	}
}

// either returns a ctx that ends with each of the two.
func either(ctx, other context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() { stop(); cancel(nil) }
}

// causeOf returns the error of a ctx that has ended, and its cause if that is another one.
func causeOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	switch {
	case errors.Is(cause, ErrClosed):
		return ErrClosed
	case errors.Is(cause, nats.ErrConnectionClosed):
		return cause
	case errors.Is(cause, err):
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// send stores the task in its stream, whose message is complete but for its head. asked says of an error whether the task may be
// there all the same. Its large value is there then, or may be.
func (c *client) send(ctx context.Context, id id, message []byte, large, patient bool) (asked bool, err error) {
	t := taskMessage{lease: c.opts.Lease, large: large}
	if deadline, ok := ctx.Deadline(); ok {
		t.left = max(time.Until(deadline), 1)
	}
	subject := c.task(c.kind, id)
	var value *largeValue
	if t.large {
		value = &largeValue{stream: c.taskStream(c.kind), subject: subject, data: message[taskHead:]}
		message = message[:taskHead]
	}
	t.head(message)
	header := withID(id.String()) // the subject has room for one message only, but not if the task is done before it is sent again
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		again, err := c.publishWith(ctx, &sending{value: value}, &nats.Msg{Subject: subject, Header: header, Data: message})
		asked = asked || again
		switch {
		case !errors.Is(err, errFull):
			return asked, err
		case !patient:
			return asked, pool.ErrQueueFull
		}
		if err := sleep(ctx, pause); err != nil {
			return asked, err
		}
	}
}

// giveUp cancels a task: where it waits, and where it runs.
func (c *client) giveUp(id id, large bool) {
	if err := c.nc.Publish(c.cancel(c.kind), []byte(id.String())); err != nil {
		c.opts.Logger.Debug("gipcnats: not cancelled", "task", id.String(), "error", err)
	}
	go func() {
		c.purge(c.tasks, c.task(c.kind, id))
		if large {
			c.drop(c.task(c.kind, id))
		}
	}()
}

func (c *client) enter(w *waiter) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	c.waiting[c.number] = w
	return c.number
}

// leave forgets a task. It returns whether a large result has come for it. That one's value must be deleted then: nobody else does
// it.
func (c *client) leave(n uint64) (large bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	large = c.fetching[n]
	delete(c.waiting, n)
	delete(c.fetching, n)
	return large
}

// answer gives a waiting Do its end. It returns false if nobody waits, nor fetches the value of a result that came before.
func (c *client) answer(n uint64, a answer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiting[n]
	if w == nil {
		return c.fetching[n]
	}
	delete(c.waiting, n)
	if a.result.large {
		c.fetching[n] = true
	}
	w.result <- a
	return true
}

// answerWanted tells a Serve that got a task for a second time whether somebody still waits for it.
func (c *client) answerWanted(m *nats.Msg) {
	var yes byte
	if len(m.Data) == 8 {
		c.mu.Lock()
		if c.waiting[binary.BigEndian.Uint64(m.Data)] != nil {
			yes = 1
		}
		c.mu.Unlock()
	}
	if err := m.Respond([]byte{yes}); err != nil {
		c.opts.Logger.Debug("gipcnats: no answer sent", "error", err)
	}
}
