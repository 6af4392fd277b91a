package gipcnats

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/pool"
)

// resultTime is how long a result outlives its client's lease: until it is fetched, behind a server's restart too.
const resultTime = time.Minute

// job is a task that this Serve has.
type job struct {
	id     id
	task   taskMessage
	data   []byte // the whole message
	since  time.Time
	known  bool // starts and record are what the state's stream has: others are not written over it
	starts int  // before this one
	record startsRecord
	start  start           // set by prepare
	ctx    context.Context // of the task
	cancel context.CancelCauseFunc

	msg delivery // the latest delivery. The server's mutex guards it
}

// startsRecord is what is known of a task's starts. There is none as long as a task was delivered once.
type startsRecord struct {
	Starts int
	Last   *workerFailure // how the last worker died, if it was seen
}

// errGone is the cause of a cancelled task's ctx.
var errGone = errors.New("its caller does not wait for it any more")

// run does everything about one delivery.
func (s *server) run(m delivery) {
	j := s.admit(m)
	if j == nil {
		s.count(&s.preparing, -1)
		return
	}
	defer s.leave(j)
	o := s.prepare(j)
	if o == nil {
		did := s.do(j)
		o = &did
	} else {
		s.count(&s.preparing, -1)
		s.lookAgain()
	}
	s.count(&s.storing, 1)
	s.settle(j, o)
	s.count(&s.storing, -1)
}

// do has the Pool run a prepared task.
func (s *server) do(j *job) outcome {
	s.mu.Lock()
	s.preparing--
	s.given++
	s.mu.Unlock()
	return j.start(j.ctx, func() {
		s.count(&s.given, -1)
		s.lookAgain() // the Pool has room again
	})
}

func (s *server) count(n *int, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n += by
}

// admit makes a job of a delivery, or settles it: one that is for a task which runs here already, has run, or was cancelled.
func (s *server) admit(m delivery) *job {
	id := idOf(m.Subject())
	task, err := parseTask(m.Data())
	if err != nil {
		s.opts.Logger.Warn("gipcnats: a message that is no task is dropped", "subject", m.Subject(), "error", err)
		s.said(id, m.TermWithReason(err.Error()))
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.running[id]; j != nil {
		j.msg = m // the server had not heard of it for too long
		return nil
	}
	if s.finished.has(id) || s.cancelled.has(id) {
		s.said(id, m.Ack())
		return nil
	}
	j := &job{id: id, task: task, data: m.Data(), since: time.Now(), msg: m}
	ctx, cancel := context.WithCancelCause(s.work)
	j.ctx, j.cancel = ctx, cancel
	if task.left > 0 {
		bounded, release := context.WithTimeout(ctx, task.left)
		j.ctx, j.cancel = bounded, func(cause error) { cancel(cause); release() }
	}
	s.running[id] = j
	return j
}

// leave takes a job out of the table, if it is there. It returns the latest delivery: none comes behind it. Whoever gives the
// task back must leave first. Otherwise the server may deliver it again at once, and admit takes that for one more delivery of this
// job, which nobody runs.
func (s *server) leave(j *job) delivery {
	j.cancel(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[j.id] == j {
		delete(s.running, j.id)
	}
	return j.msg
}

// said notes that an answer to the server could not be sent. The task is delivered again then.
func (s *server) said(id id, err error) {
	if err != nil {
		s.opts.Logger.Debug("gipcnats: the server is not told", "task", s.name, "id", id.String(), "error", err)
	}
}

// latest returns the latest delivery of a job.
func (s *server) latest(j *job) delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return j.msg
}

// prepare does what comes before a start: is the task wanted, may it start, what is its argument. It returns what becomes of a task
// that doesn't start.
func (s *server) prepare(j *job) *outcome {
	if s.leaseEnded(j.id.client, j.task.lease) {
		return &outcome{cancelled: true}
	}
	if s.latest(j).Number() > 1 {
		if !s.isWanted(j.id) {
			return &outcome{cancelled: true}
		}
		if err := s.readStarts(j); err != nil {
			return &outcome{back: err}
		}
		if j.starts >= s.opts.MaxStarts {
			return s.condemn(j, j.starts)
		}
		if err := s.writeStarts(j, j.starts+1); err != nil {
			return &outcome{back: err}
		}
	}
	arg, o := s.argument(j)
	if o != nil {
		return o
	}
	var err error
	if j.start, err = s.load(arg); err != nil {
		return &outcome{result: resultOf(resultFailed, newFailure(err))}
	}
	return nil
}

// argument returns a task's encoded argument, or what becomes of a task that has none.
func (s *server) argument(j *job) ([]byte, *outcome) {
	arg, err := j.task.arg, checkSize(j.task.arg, s.opts.MaxValue)
	if j.task.large {
		arg, err = s.getValue(j.ctx, s.task(s.kind, j.id))
	}
	switch {
	case err == nil:
		return arg, nil
	case j.ctx.Err() != nil:
		return nil, &outcome{cancelled: true}
	case errors.Is(err, errNoValue):
		return nil, &outcome{result: newResult(resultLost)}
	}
	return nil, &outcome{result: resultOf(resultRefused, newFailure(err))}
}

// settle tells the server, and by it the client, what became of a task.
func (s *server) settle(j *job, o *outcome) {
	if o.worker != nil {
		starts := j.starts + o.worker.Starts
		failure := newWorkerFailure(o.worker, starts)
		j.record.Last = &failure
		if err := s.writeStarts(j, starts); err != nil {
			s.opts.Logger.Warn("gipcnats: a start is not noted", "task", s.name, "id", j.id.String(), "error", err)
		}
		if starts < s.opts.MaxStarts {
			s.said(j.id, s.leave(j).Nak())
			return
		}
		j.starts = starts
		o = s.condemn(j, starts)
	}
	switch {
	case o.back != nil:
		s.refuse(j, o.back)
	case o.cancelled && s.work.Err() != nil: // the connection is closed: another Serve gets it
	case o.cancelled:
		s.finish(j, "")
	case o.result != nil:
		if err := s.store(j, o.result); err != nil {
			s.opts.Logger.Error("gipcnats: a result is not stored, its task runs again", "task", s.name, "id", j.id.String(), "error", err)
			s.said(j.id, s.leave(j).NakWithDelay(s.opts.AckWait))
			return
		}
		s.finish(j, o.condemned)
	}
}

// finish acknowledges a task that has a result, or needs none, and deletes what belongs to it. The server tells whoever watches it
// of one that is condemned.
func (s *server) finish(j *job, condemned string) {
	m := s.latest(j)
	if condemned == "" {
		s.said(j.id, m.Ack())
	} else {
		s.said(j.id, m.TermWithReason(condemned))
	}
	s.mu.Lock()
	s.finished.add(j.id)
	s.mu.Unlock()
	if j.task.large {
		s.drop(s.task(s.kind, j.id))
	}
	if j.record.Starts > 0 || m.Number() > 1 {
		s.purge(s.state, s.starts(j.id))
	}
}

// store puts the result into its stream. It tries until the connection is closed.
func (s *server) store(j *job, message []byte) error {
	subject := s.result(j.id)
	var value *largeValue
	if !s.inline(len(message)) {
		value = &largeValue{stream: s.resultStream(), subject: subject, data: message[resultHead:]}
		message = message[:resultHead]
		message[2] = flagLarge
	}
	for {
		// A second one, of a Serve that did not get the answer, finds nobody who waits.
		m := &nats.Msg{Subject: subject, Data: message, Header: withTTL(j.task.lease + resultTime)}
		_, err := s.publishWith(s.work, &sending{value: value}, m)
		if !errors.Is(err, errFull) {
			return err
		}
		if err := sleep(s.work, lastPause); err != nil {
			return err
		}
	}
}

// refuse gives a task back that was not started.
func (s *server) refuse(j *job, why error) {
	if errors.Is(why, pool.ErrClosed) {
		s.stop(pool.ErrClosed)
	}
	s.opts.Logger.Debug("gipcnats: a task goes back to the queue", "task", s.name, "id", j.id.String(), "error", why)
	s.notStarted(j)
	s.said(j.id, s.leave(j).NakWithDelay(time.Second))
}

// handBack gives a delivery back that nobody has looked at.
func (s *server) handBack(m delivery) {
	j := &job{id: idOf(m.Subject()), msg: m}
	s.notStarted(j)
	s.said(j.id, m.Nak())
}

// notStarted writes down that a delivery was no start. What is written down already stays if it can't be read.
func (s *server) notStarted(j *job) {
	var err error
	if !j.known && s.latest(j).Number() > 1 {
		err = s.readStarts(j)
	}
	if err == nil {
		err = s.writeStarts(j, j.starts)
	}
	if err != nil {
		s.opts.Logger.Debug("gipcnats: that it was not started is not noted", "id", j.id.String(), "error", err)
	}
}

// readStarts finds out how often a task was started. Of a task that was delivered before and has no record, the one delivery
// was a start, as far as anybody knows. So it is of one whose record makes no sense: reading that again is of no use.
func (s *server) readStarts(j *job) error {
	m, err := find(s.work, s.state, s.starts(j.id))
	if err != nil {
		return err
	}
	j.known, j.starts = true, 1
	if m == nil {
		return nil
	}
	var record startsRecord
	if err := decode(gipc.CBOR[startsRecord]{}, m.Data, &record); err != nil {
		s.opts.Logger.Warn("gipcnats: a record of starts makes no sense", "task", s.name, "id", j.id.String(), "error", err)
		return nil
	}
	j.starts, j.record = record.Starts, record
	return nil
}

func (s *server) writeStarts(j *job, starts int) error {
	j.record.Starts = starts
	b, err := gipc.CBOR[startsRecord]{}.Append(nil, j.record)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.work, answerTime)
	defer cancel()
	return s.publishOnce(ctx, &nats.Msg{Subject: s.starts(j.id), Data: b})
}

// condemn puts a task that was started often enough among the dead letters. Where that fails, the task goes back until it works.
func (s *server) condemn(j *job, starts int) *outcome {
	failure := lostMachines(s.name, starts)
	if j.record.Last != nil {
		failure = *j.record.Last
		failure.Starts = starts
	}
	reason := errMachine.Error()
	if e, err := failure.error(s.name); err == nil {
		reason = e.Error()
	}
	s.opts.Logger.Error("gipcnats: a task goes to the dead letters", "task", s.name, "id", j.id.String(), "starts", starts, "reason", reason)
	letter := &nats.Msg{Subject: s.dead(s.kind, j.id), Data: j.data, Header: withID("dead " + j.id.String())}
	letter.Header.Set("Gipc-Task", oneLine(s.name))
	letter.Header.Set("Gipc-Starts", strconv.Itoa(starts))
	letter.Header.Set("Gipc-Reason", oneLine(reason))
	_, err := s.publish(s.work, letter)
	if err == nil && j.task.large {
		err = s.moveValue(s.work, s.task(s.kind, j.id), s.deadStream(), letter.Subject)
	}
	if err != nil {
		s.opts.Logger.Error("gipcnats: a dead letter is not stored", "task", s.name, "id", j.id.String(), "error", err)
		return &outcome{back: err}
	}
	return &outcome{result: resultOf(resultWorker, failure), condemned: oneLine(reason)}
}

// oneLine makes a header's value of any text.
func oneLine(text string) string {
	const most = 1 << 10
	text = strings.Join(strings.Fields(text), " ")
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// isWanted asks the client of a task that was delivered before whether it has its result by now. A client that doesn't answer
// is alive for as long as its lease.
func (s *server) isWanted(id id) bool {
	n, err := strconv.ParseUint(id.number, 10, 64)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(s.work, answerTime)
	defer cancel()
	reply, err := s.nc.RequestWithContext(ctx, s.wanted(id.client), binary.BigEndian.AppendUint64(nil, n))
	return err != nil || len(reply.Data) != 1 || reply.Data[0] != 0
}
