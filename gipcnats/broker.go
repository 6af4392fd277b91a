package gipcnats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	answerTime = 5 * time.Second        // how long one request to the server waits
	openTime   = 30 * time.Second       // how long opening streams may take: a cluster may have to elect a leader
	askTime    = 2 * time.Second        // how long one request waits that is made again
	firstPause = 20 * time.Millisecond  // before the second try
	lastPause  = 500 * time.Millisecond // pauses grow up to here
	headRoom   = 4 << 10                // bytes of a message that are not its value: head and headers
)

// broker is a connection, with what this package needs of the server. Its methods may be called at the same time.
type broker struct {
	names
	nc       *nats.Conn
	js       jetstream.JetStream
	request  func(context.Context, *nats.Msg) (*nats.Msg, error) // the connection's
	opts     Options
	sweepAge time.Duration
	sweeps   []string // the streams whose large values it sweeps, and those of streams that are gone. Empty: of all

	reopening sync.Mutex // held while streams are made again
	mu        sync.Mutex
	opened    map[string]jetstream.StreamConfig // the streams of tasks, by name: they are made again when they are gone
}

func newBroker(nc *nats.Conn, opts Options) (*broker, error) {
	if nc == nil {
		panic("gipcnats: the connection is nil")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return &broker{
		names: names{opts.Prefix}, nc: nc, js: js, request: nc.RequestMsgWithContext, opts: opts, sweepAge: sweepAge,
		opened: map[string]jetstream.StreamConfig{},
	}, nil
}

// stream returns a stream, and makes it if it is missing.
func (b *broker) stream(ctx context.Context, config jetstream.StreamConfig) (stream jetstream.Stream, err error) {
	err = insist(ctx, func(ctx context.Context) error {
		stream, err = b.tryStream(ctx, config)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", config.Name, err)
	}
	return stream, nil
}

func (b *broker) tryStream(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := b.js.Stream(ctx, config.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		config.Storage, config.Replicas, config.AllowDirect = b.opts.storage(), b.opts.Replicas, true
		config.Discard = jetstream.DiscardNew
		stream, err = b.js.CreateStream(ctx, config)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another one was faster, with other options
			stream, err = b.js.Stream(ctx, config.Name)
		}
	}
	return stream, err
}

// insist asks the server until it answers, or ctx ends. An answer may get lost, and servers of a cluster don't answer for a stream or
// consumer that has no leader yet.
func insist(ctx context.Context, ask func(ctx context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		attempt, cancel := context.WithTimeout(ctx, askTime)
		err := ask(attempt)
		cancel()
		if err == nil || !isNoAnswer(err) || sleep(ctx, pause) != nil {
			return err
		}
	}
}

// isNoAnswer says that a request was not answered, or by servers that have no leader.
func isNoAnswer(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.As(err, &api) && isPassing(api)
}

// open is stream, and has reopen make the stream again.
func (b *broker) open(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := b.stream(ctx, config)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.opened[config.Name] = config
	}
	return stream, err
}

// reopen makes those of the opened streams again that are gone, if err looks as if one is: a lone server that starts again has
// none of memory any more, and an administrator may delete any. Who had the error tries again.
func (b *broker) reopen(ctx context.Context, err error) {
	if !noAnswerer(err) && !errors.Is(err, jetstream.ErrStreamNotFound) || !b.reopening.TryLock() {
		return // or somebody else is doing it
	}
	defer b.reopening.Unlock()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	b.mu.Lock()
	opened := maps.Clone(b.opened)
	b.mu.Unlock()
	for _, config := range opened {
		if _, err := b.stream(ctx, config); err != nil {
			b.opts.Logger.Debug("gipcnats: a stream can't be opened, trying again", "error", err)
		}
	}
}

// openTasks opens the stream of the tasks of one name. A subject has one message, so that a task is never there twice.
func (b *broker) openTasks(ctx context.Context, k kindOf) (jetstream.Stream, error) {
	return b.open(ctx, jetstream.StreamConfig{
		Name: b.taskStream(k), Subjects: []string{b.subject("task", k.name, ">")}, Retention: jetstream.WorkQueuePolicy,
		MaxMsgs: orNone(b.opts.MaxTasks), MaxBytes: orNone(b.opts.MaxBytes), MaxMsgsPerSubject: 1, DiscardNewPerSubject: true,
	})
}

func (b *broker) openResults(ctx context.Context) (jetstream.Stream, error) {
	return b.open(ctx, jetstream.StreamConfig{
		Name: b.resultStream(), Subjects: []string{b.subject("result", ">")}, Retention: jetstream.WorkQueuePolicy, AllowMsgTTL: true,
	})
}

// openState opens the stream of leases and counts of starts.
func (b *broker) openState(ctx context.Context) (jetstream.Stream, error) {
	return b.open(ctx, jetstream.StreamConfig{
		Name: b.stateStream(), Subjects: []string{b.subject("state", ">")}, MaxMsgsPerSubject: 1, AllowMsgTTL: true, MaxAge: stateAge,
	})
}

func (b *broker) openDead(ctx context.Context) (jetstream.Stream, error) {
	return b.open(ctx, jetstream.StreamConfig{
		Name: b.deadStream(), Subjects: []string{b.subject("dead", ">")}, MaxAge: deadAge,
	})
}

const (
	stateAge = 7 * 24 * time.Hour  // a count of starts that nobody touched for so long is forgotten
	deadAge  = 30 * 24 * time.Hour // dead letters are kept for so long
)

func orNone(limit int64) int64 {
	if limit == 0 {
		return -1
	}
	return limit
}

// errFull says that a stream takes no more messages now.
var errFull = errors.New("the stream is full")

// publish stores a message. It tries until it has an answer that is final, or ctx ends, then its error matches the ctx's. asked says of
// any error whether a server may have stored the message all the same: at an earlier try, whose answer got lost, or at the last one.
func (b *broker) publish(ctx context.Context, m *nats.Msg) (asked bool, err error) {
	return b.publishWith(ctx, &sending{}, m)
}

// sending is what else publishing a message has to look after. It may be used for one message, again and again.
type sending struct {
	value      *largeValue                 // what the message stands for, or nil. It is in the object store before each attempt
	sameStream func(context.Context) error // says before each attempt if the stream is another one by now. nil: any will do
	knownFor   time.Duration               // for how long the server knows the message's id. After that publish doesn't ask again. 0: it may
	asked      time.Time                   // when a server may have stored it first. Zero: never
	isGone     func(context.Context) bool  // whether its stream is gone for good, if nobody got the message. nil: it is made again
}

// errForgotten says that the message's id is of no use any more.
var errForgotten = errors.New("there was no answer for so long that the server would not know the message again")

// publishWith is publish for messages that need more.
func (b *broker) publishWith(ctx context.Context, s *sending, m *nats.Msg) (asked bool, err error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if err := b.ready(ctx, s); err != nil {
			return asked, err
		}
		attempt, cancel := context.WithTimeout(ctx, answerTime)
		err := b.publishOnce(attempt, m)
		cancel()
		if err == nil {
			return false, nil
		}
		asked = asked || !isNotStored(err)
		switch {
		case ctx.Err() != nil:
			return asked, ctx.Err()
		case b.final(err):
			return asked, refusal(err)
		case s.isGone != nil && noAnswerer(err) && s.isGone(ctx):
			return asked, ErrNoChannel
		}
		if asked && s.asked.IsZero() {
			s.asked = time.Now().Add(-answerTime) // the attempt took no longer
		}
		b.opts.Logger.Debug("gipcnats: a message is not stored yet", "subject", m.Subject, "error", err)
		if hasMet(err) {
			pause = firstPause
		}
		if err := sleep(ctx, rand.N(pause)); err != nil {
			return asked, err
		}
	}
}

// ready waits until a message can be sent at once, and looks whether it still may. Without a connection nats.go would keep it, and
// send it when its publisher has given up, or its large value is gone.
func (b *broker) ready(ctx context.Context, s *sending) error {
	for pause := firstPause; !b.nc.IsConnected(); pause = min(2*pause, lastPause) {
		if b.nc.IsClosed() {
			return nats.ErrConnectionClosed
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
	if s.value != nil {
		if err := b.keep(ctx, s.value); err != nil {
			return err
		}
	}
	if s.sameStream != nil {
		if err := s.sameStream(ctx); err != nil {
			return err
		}
	}
	if s.knownFor > 0 && !s.asked.IsZero() && age(s.asked) >= s.knownFor {
		return errForgotten
	}
	return ctx.Err()
}

// publishOnce tries to store a message. If its stream is gone, it is there for the next try.
func (b *broker) publishOnce(ctx context.Context, m *nats.Msg) error {
	answer, err := b.request(ctx, m)
	if err == nil {
		err = checkStored(answer.Data)
	}
	if err != nil {
		b.reopen(ctx, err)
	}
	return err
}

// checkStored returns the error in a stream's answer. Most answers have none: these are not parsed, since there are two for each task.
func checkStored(answer []byte) error {
	if bytes.HasPrefix(answer, []byte(`{"stream":`)) && !bytes.Contains(answer, []byte(`"error"`)) {
		return nil
	}
	var parsed struct {
		Stream string              `json:"stream"`
		Error  *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer, &parsed); err != nil || parsed.Stream == "" && parsed.Error == nil {
		return jetstream.ErrInvalidJSAck
	}
	if parsed.Error != nil {
		return fmt.Errorf("nats: %w", parsed.Error)
	}
	return nil
}

// withID returns headers by which the server drops the second of two messages.
func withID(id string) nats.Header { return nats.Header{jetstream.MsgIDHeader: {id}} }

// withTTL returns headers by which a message ends.
func withTTL(ttl time.Duration) nats.Header {
	return nats.Header{jetstream.MsgTTLHeader: {ttl.String()}}
}

// noAnswerer says that nobody got the request.
func noAnswerer(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}

// isNotStored says that a try to store a message has failed for sure: it was not sent, nobody got it, or the server said so.
func isNotStored(err error) bool {
	var api *jetstream.APIError
	return noAnswerer(err) || errors.As(err, &api) || errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject)
}

// final says whether asking again is of no use.
func (b *broker) final(err error) bool {
	for _, hopeless := range []error{nats.ErrMaxPayload, nats.ErrBadSubject, jetstream.ErrDigestMismatch} {
		if errors.Is(err, hopeless) {
			return true
		}
	}
	if b.nc.IsClosed() {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && !isPassing(api) || isStoreFailure(err)
}

// isPassing says whether the server may do soon what it refuses now: its cluster has no leader, it has too much to do, or it is
// storing a message of this id, or one that names the same subject as what must not be there.
func isPassing(api *jetstream.APIError) bool {
	switch api.ErrorCode {
	case duplicateInProcess, tooManyRequests, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return true
	}
	return api.Code == 503
}

// These of the server's codes nats.go has no names for.
const (
	duplicateInProcess = jetstream.ErrorCode(10158)
	tooManyRequests    = jetstream.ErrorCode(10167)
)

// hasMet says that another message was being stored, which takes no longer than storing one. It must not wait for longer each time, since
// others may come in between again and again.
func hasMet(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// isWrongSequence says that a subject has a message that should not be there.
func isWrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// storeFailed is the server's code for a message that a stream does not take. Its text tells which limit it is.
const storeFailed = jetstream.ErrorCode(10077)

func isStoreFailure(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == storeFailed && strings.Contains(api.Description, "maximum")
}

func refusal(err error) error {
	switch {
	case !isStoreFailure(err):
		return err
	case strings.Contains(err.Error(), "per subject"): // it is stored already
		return nil
	}
	return errFull
}

// latest returns the last message of a subject, or nil if there is none. If the stream is gone, its error matches
// jetstream.ErrStreamNotFound.
func latest(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil && noAnswerer(err) { // of one message: the server may be starting, or have no such stream
		if _, e := stream.Info(ctx); errors.Is(e, jetstream.ErrStreamNotFound) {
			err = e
		}
	}
	return m, err
}

// find is latest, for which a stream that is gone has no message.
func find(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	m, err := latest(ctx, stream, subject)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	return m, err
}

// purge deletes the messages of a subject, which may have wildcards. What can't be deleted now is found by its lease or a
// sweep.
func (b *broker) purge(stream jetstream.Stream, subject string) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
		b.opts.Logger.Debug("gipcnats: not deleted", "subject", subject, "error", err)
	}
}
