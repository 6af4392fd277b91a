package gipcnats

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

// lossy is a server whose answer to the first message that it stores gets lost. What becomes of the second try says next.
type lossy struct {
	request func(context.Context, *nats.Msg) (*nats.Msg, error)
	tries   int // one goroutine publishes
	next    func() error
}

func (l *lossy) of(b *broker) { l.request, b.request = b.request, l.answer }

func (l *lossy) answer(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	l.tries++
	if l.tries > 1 {
		return nil, l.next()
	}
	if answer, err := l.request(ctx, m); err != nil || checkStored(answer.Data) != nil {
		return answer, err
	}
	return nil, nats.ErrTimeout
}

var full error = &jetstream.APIError{Code: 503, ErrorCode: storeFailed, Description: "maximum messages exceeded"}

// A task that may be stored is cancelled when its Do ends without it, also where the server refuses to store it once more.
func TestDoOfATaskThatMayBeStored(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	watcher := clientOf(t, url, calm())
	for _, data := range [][]byte{nil, large(2 << 20)} {
		c := clientOf(t, url, calm())
		(&lossy{next: func() error { return full }}).of(c.core.broker)
		_, err := c.Do(test.Context(t), deed{Data: data})
		test.Is(t, err, pool.ErrQueueFull)
		stored(t, watcher, 0)
	}
	test.Eventually(t, "nothing is left in the object store", func() bool { return objects(t, watcher.core.broker) == 0 })
}

// A Put that ends with the connection says that its message may be stored.
func TestPutThatMayHaveStored(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	w, r := writerOf(t, url, nil), readerOf(t, url, nil)
	c := w.channel
	(&lossy{next: func() error { c.nc.Close(); return nats.ErrConnectionClosed }}).of(c.broker)
	data := large(2 << 20)
	test.Is(t, w.Put(ctx, deed{Data: data}), nats.ErrConnectionClosed, ErrUncertain)
	v, err := r.Get(ctx)
	test.Check(t, err)
	test.Bytes(t, v.Data, data)
}

// A Put whose message the server refuses knows that it is not stored.
func TestPutThatIsRefused(t *testing.T) {
	t.Parallel()
	w := writerOf(t, startServer(t).url(), nil)
	refusal := &jetstream.APIError{Code: 400, Description: "no"}
	(&lossy{tries: 1, next: func() error { return refusal }}).of(w.channel.broker)
	err := w.Put(test.Context(t), deed{})
	test.Is(t, err, refusal)
	test.IsNot(t, err, ErrUncertain)
}

// What the server refuses because it does something else at that moment, it is asked again.
func TestRefusalsThatPass(t *testing.T) {
	t.Parallel()
	w := writerOf(t, startServer(t).url(), nil)
	refusals := []*jetstream.APIError{
		{Code: 429, ErrorCode: 10167, Description: "too many requests"},
		{Code: 409, ErrorCode: 10158, Description: "duplicate message id is in process"},
		{Code: 400, ErrorCode: 10164, Description: "wrong last sequence"}, // another message that names the same subject
		{Code: 503, ErrorCode: 10163, Description: "expected last sequence per subject temporarily unavailable"},
	}
	request := w.channel.request
	w.channel.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
		if len(refusals) > 0 {
			err := refusals[0]
			refusals = refusals[1:]
			return nil, err
		}
		return request(ctx, m)
	}
	test.Check(t, w.Put(test.Context(t), deed{}))
	test.Equal(t, len(refusals), 0)
}

// A task whose first answer is lost, and which is done before it is sent again, is not stored twice.
func TestTaskThatIsDoneBeforeItIsSentAgain(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	serving(t, url, nil, nil)
	c := clientOf(t, url, calm())
	interrupted(c.core.broker, func(store func()) {
		store()
		empty(t, c)
	})
	_, err := c.Do(ctx, deed{})
	test.Check(t, err)
	info, err := c.core.tasks.Info(ctx)
	test.Check(t, err)
	test.Equal(t, info.State.LastSeq, 1)
}
