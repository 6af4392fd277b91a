package gipcnats

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc/pool"
)

// Serve takes tasks from the queue and runs them on p, one for each task that p would start at once, until ctx ends. Then it
// takes no more, waits until those that it has are finished and their results stored, and returns nil. Closing p, or the
// connection, cuts that short. Serve closes neither.
//
// Serve returns an error if the options make no sense, if the streams can't be opened, when the connection is closed, and
// when p is. A server that is away for a while, a worker that dies, a pool that can't start workers end nothing.
//
// Any number of Serves may run for one task, in one program or many. What is done with p besides takes its share of p's
// workers.
func Serve[A, R any](ctx context.Context, nc *nats.Conn, p *pool.Pool[A, R], opts *Options) error {
	if p == nil {
		panic("gipcnats: Serve got no Pool")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	name := p.Task().Name()
	err := o.resolve()
	if err == nil {
		var s *server
		s, err = newServer(ctx, nc, kindOfTask(p.Task(), o.Version), name, o)
		if err != nil && ctx.Err() != nil {
			return nil // it has taken nothing
		}
		if err == nil {
			s.load = loader(p, o.MaxValue)
			s.free = p.Available
			s.has = func() int {
				stats := p.Stats()
				return stats.Running + stats.Waiting
			}
			err = s.serve()
		}
	}
	if err != nil {
		return fmt.Errorf("gipcnats: serve task %s: %w", name, err)
	}
	return nil
}

// outcome is what became of a task on the Pool. One field is set, but for condemned, which stands beside result.
type outcome struct {
	result    []byte            // a message for its Do
	condemned string            // why it is among the dead letters
	worker    *pool.WorkerError // its worker died
	back      error             // it was not started, and why
	cancelled bool
}

// start runs a task on the Pool. It calls left as soon as the Pool has finished it.
type start func(ctx context.Context, left func()) outcome

// loader returns what decodes a task's argument, and returns how to start the task with it.
func loader[A, R any](p *pool.Pool[A, R], maxValue int) func(arg []byte) (start, error) {
	t := p.Task()
	return func(arg []byte) (start, error) {
		var a A
		if err := decode(t.ArgCodec(), arg, &a); err != nil {
			return nil, err
		}
		return runner(p, a, maxValue), nil
	}
}

func runner[A, R any](p *pool.Pool[A, R], arg A, maxValue int) start {
	t := p.Task()
	return func(ctx context.Context, left func()) outcome {
		value, err := p.Do(ctx, arg)
		left()
		if err != nil {
			return failed(ctx, err)
		}
		b, err := encode(t.ResultCodec(), newResult(resultValue), value)
		if err == nil {
			err = checkSize(b[resultHead:], maxValue)
		}
		if err != nil {
			return outcome{result: resultOf(resultFailed, newFailure(err))}
		}
		return outcome{result: b}
	}
}

// failed says what becomes of a task for which the Pool has this error.
func failed(ctx context.Context, err error) outcome {
	var task *pool.TaskError
	var worker *pool.WorkerError
	var start *pool.StartError
	switch {
	case errors.As(err, &task):
		return outcome{result: resultOf(resultFailed, newFailure(task.Err))}
	case errors.As(err, &worker):
		return outcome{worker: worker}
	case errors.As(err, &start), errors.Is(err, pool.ErrQueueFull), errors.Is(err, pool.ErrClosed):
		return outcome{back: err}
	case errors.Is(err, pool.ErrTimeout):
		return outcome{result: newResult(resultTimeout)}
	case ctx.Err() != nil:
		return outcome{cancelled: true}
	}
	return outcome{result: resultOf(resultRefused, newFailure(err))}
}

// server is one Serve, without its types.
type server struct {
	*broker
	kind  kindOf
	name  string // of the task, for people
	tasks jetstream.Stream
	state jetstream.Stream

	load func(arg []byte) (start, error)
	free func() int // how many tasks the Pool would start at once
	has  func() int // how many tasks wait or run on the Pool

	ctx  context.Context // ends with Serve's, or for err: no more tasks are taken
	stop context.CancelCauseFunc
	work context.Context // that of the tasks: ends with the connection
	cut  context.CancelFunc
	wake chan struct{} // has room for one: look again how many tasks to pull
	idle chan delivery // to goroutines that have run a task
	jobs sync.WaitGroup

	clients map[string]bool // with a lease, or with tasks that wait. Owned by looking

	mu        sync.Mutex
	pulling   int // tasks that were asked for and have not come
	preparing int // tasks that have come, and were not given to the Pool yet
	given     int // tasks that were given to the Pool, which may be about to take them, and have not left it
	storing   int // tasks that have left the Pool, and are not settled yet
	running   map[id]*job
	finished  recent
	cancelled recent
	leases    map[string]*lease
	// manyLeases is at how many leases they are looked through for those that nobody needs.
	manyLeases int
}

func newServer(ctx context.Context, nc *nats.Conn, kind kindOf, name string, o Options) (*server, error) {
	b, err := newBroker(nc, o)
	if err != nil {
		return nil, err
	}
	s := &server{
		broker: b, kind: kind, name: name, wake: make(chan struct{}, 1), idle: make(chan delivery), running: map[id]*job{}, leases: map[string]*lease{},
		clients: map[string]bool{}, finished: recent{age: 2 * o.AckWait}, cancelled: recent{age: 2 * o.AckWait},
	}
	s.sweeps = []string{s.taskStream(kind), s.resultStream(), s.deadStream()}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancelCause(ctx)
	s.work, s.cut = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.openConsumer(); err != nil {
		s.stop(err)
		s.cut()
		return nil, err
	}
	return s, nil
}

// open opens all streams that a Serve needs.
func (s *server) open(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	if s.tasks, err = s.openTasks(ctx, s.kind); err != nil {
		return err
	}
	if s.state, err = s.openState(ctx); err != nil {
		return err
	}
	if _, err = s.openResults(ctx); err != nil {
		return err
	}
	_, err = s.openDead(ctx)
	return err
}

// serve takes tasks until ctx ends, and finishes them.
func (s *server) serve() error {
	defer s.cut()
	defer s.stop(nil)
	cancels, err := s.nc.Subscribe(s.cancel(s.kind), s.cancelOne)
	if err != nil {
		return err
	}
	defer func() { _ = cancels.Unsubscribe() }()                                                      // of a connection that may be closed
	asked, err := s.nc.QueueSubscribe(s.who(s.kind), "who", func(m *nats.Msg) { _ = m.Respond(nil) }) // who asks asks again
	if err != nil {
		return err
	}
	defer func() { _ = asked.Unsubscribe() }()
	for _, run := range []func(context.Context){s.signsOfLife, s.looking, s.sweeping} {
		go run(s.work)
	}
	go s.keepAckWait(s.work, s.tasks, s.consumerConfig())
	s.pull()
	s.jobs.Wait()
	if cause := context.Cause(s.ctx); errors.Is(cause, nats.ErrConnectionClosed) || errors.Is(cause, pool.ErrClosed) {
		return cause
	}
	return nil
}

const maxStoring = 256 // results that wait to be stored, before no more tasks are taken

// room says how many more tasks to ask for, and counts them. A task that the Pool is about to take needs one of the slots that are
// free. If no worker can be started, one task at a time is taken: the Pool tries again with it. As long as half of what there is room
// for is asked for already, it says none: each request costs the server something, and those that wait cost it for each task.
func (s *server) room() int {
	has := s.has() // before free: what the Pool takes in between counts twice for a moment, otherwise it would not count at all
	n := s.free()
	s.mu.Lock()
	defer s.mu.Unlock()
	n -= s.preparing + max(0, s.given-has)
	if n <= 0 && has == 0 && s.preparing+len(s.running) == 0 {
		n = 1
	}
	n -= s.pulling
	if n < s.pulling || s.storing > maxStoring {
		n = 0
	}
	n = max(n, 0)
	s.pulling += n
	return n
}

func (s *server) lookAgain() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// openConsumer opens the consumer that all Serves of the task share, and makes it and its stream if they are gone.
func (s *server) openConsumer() error {
	ctx, cancel := context.WithTimeout(s.ctx, openTime)
	defer cancel()
	_, err := shared(ctx, s.tasks, s.consumerConfig())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.reopen(ctx, err)
		_, err = shared(ctx, s.tasks, s.consumerConfig())
	}
	return err
}

// consumerConfig is that of the task's consumer. It has the stream's Replicas, whatever the options say. Its end, long after the last
// Serve, costs no task.
func (s *server) consumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: s.kind.print, FilterSubject: s.task(s.kind, id{"*", "*"}), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: s.opts.AckWait, MaxDeliver: -1, MaxAckPending: -1, InactiveThreshold: stateAge,
		MaxWaiting: maxRequests, MemoryStorage: s.opts.Memory,
	}
}
