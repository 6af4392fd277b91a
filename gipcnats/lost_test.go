package gipcnats

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc/internal/test"
)

// lossyInfo is a server whose first answer about each stream and consumer gets lost.
type lossyInfo struct {
	jetstream.JetStream
	t    testing.TB
	lost map[string]bool
}

// loses says whether an answer is lost. It doesn't keep the test waiting until ctx ends, but looks how long that would be.
func (l *lossyInfo) loses(ctx context.Context, name string) bool {
	if l.lost[name] {
		return false
	}
	l.lost[name] = true
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > answerTime {
		l.t.Errorf("the answer for %s is waited for until %v", name, deadline)
	}
	return true
}

func (l *lossyInfo) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if l.loses(ctx, name) {
		return nil, context.DeadlineExceeded
	}
	s, err := l.JetStream.Stream(ctx, name)
	return &lossyStream{s, l}, err
}

type lossyStream struct {
	jetstream.Stream
	of *lossyInfo
}

func (s *lossyStream) Consumer(ctx context.Context, name string) (jetstream.Consumer, error) {
	if s.of.loses(ctx, "consumer "+name) {
		return nil, context.DeadlineExceeded
	}
	return s.Stream.Consumer(ctx, name)
}

// A lost answer costs the time of one request, and not all that opening may take.
func TestLostAnswersOfOpening(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	s, _ := alone(t, &Options{})
	js := &lossyInfo{JetStream: s.js, t: t, lost: map[string]bool{}}
	s.js = js
	test.Check(t, s.open(ctx))
	test.Check(t, s.openConsumer())
	test.Equal(t, len(js.lost), 5) // tasks, state, results, dead letters; the consumer
}

// refusing is a stream that takes no consumer.
type refusing struct{ jetstream.Stream }

func (refusing) CreateOrUpdateConsumer(context.Context, jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	return nil, &jetstream.APIError{Code: 400, ErrorCode: 10134, Description: "no"}
}

// Where the server refuses to give results, somebody is told.
func TestResultsThatAreRefused(t *testing.T) {
	t.Parallel()
	logs := &test.Text{}
	o := resolved(t, &Options{Logger: slog.New(slog.NewTextHandler(logs, nil))}) // no debugging
	b, err := newBroker(connect(t, startServer(t).url()), *o)
	test.Check(t, err)
	c := &client{broker: b, results: refusing{}}
	c.ctx, c.end = context.WithCancelCause(test.Context(t))
	c.done.Go(c.receive)
	test.Eventually(t, "it is logged", func() bool { return logs.Has("no results") })
	c.end(nil)
	c.done.Wait()
}
