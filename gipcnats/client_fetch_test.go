package gipcnats

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc/internal/test"
)

// slowStore is a server whose object store gives a value when the test lets it.
type slowStore struct {
	jetstream.JetStream
	asked   chan struct{} // gets one when a value is fetched
	release chan struct{} // closed when it may be
	dropped chan struct{} // gets one when something is about to be deleted
}

func newSlowStore(c *client) *slowStore {
	s := &slowStore{c.js, make(chan struct{}, 100), make(chan struct{}), make(chan struct{}, 100)}
	c.js = s
	return s
}

func (s *slowStore) ObjectStore(ctx context.Context, bucket string) (jetstream.ObjectStore, error) {
	store, err := s.JetStream.ObjectStore(ctx, bucket)
	return &slowObjects{store, s}, err
}

type slowObjects struct {
	jetstream.ObjectStore
	of *slowStore
}

func (s *slowObjects) wait(ctx context.Context) error {
	select {
	case <-s.of.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slowObjects) Get(ctx context.Context, name string, opts ...jetstream.GetObjectOpt) (jetstream.ObjectResult, error) {
	s.of.asked <- struct{}{}
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.ObjectStore.Get(ctx, name, opts...)
}

// GetInfo is what drop begins with.
func (s *slowObjects) GetInfo(ctx context.Context, name string, opts ...jetstream.GetObjectInfoOpt) (*jetstream.ObjectInfo, error) {
	s.of.dropped <- struct{}{}
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.ObjectStore.GetInfo(ctx, name, opts...)
}

// answers stores a large result for the client's nth task, as a Serve does.
func answers(t testing.TB, c *client, n uint64) {
	t.Helper()
	b, err := encode(obey.ResultCodec(), newResult(resultValue), done{N: 7, Data: large(2 << 20)})
	test.Check(t, err)
	subject := c.result(id{c.id, strconv.FormatUint(n, 10)})
	test.Check(t, c.putValue(t.Context(), c.resultStream(), subject, b[resultHead:]))
	answersAgain(t, c, n)
}

// answersAgain stores the message of a large result.
func answersAgain(t testing.TB, c *client, n uint64) {
	t.Helper()
	subject := c.result(id{c.id, strconv.FormatUint(n, 10)})
	_, err := c.publish(t.Context(), &nats.Msg{Subject: subject, Data: []byte{format, byte(resultValue), flagLarge}})
	test.Check(t, err)
}

// calm are options of clients that do nothing by themselves for as long as a test takes.
func calm() *Options { return &Options{Lease: time.Hour, NoWorker: -1} }

// A task that ran twice has two results. The second one does not take the first one's value from a Do that fetches it.
func TestSecondResultWhileTheFirstIsFetched(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	c := clientOf(t, startServer(t).url(), calm())
	store := newSlowStore(c.core)
	var got done
	ended := test.Started(func() (err error) { got, err = c.Do(ctx, deed{}); return err })
	stored(t, c, 1)
	answers(t, c.core, 1)
	<-store.asked
	answersAgain(t, c.core, 1)
	test.Eventually(t, "the second result is acknowledged", func() bool {
		info, err := c.core.results.Info(ctx)
		return err == nil && info.State.Msgs == 0
	})
	test.Equal(t, len(store.dropped), 0)
	close(store.release)
	test.Check(t, <-ended)
	test.Equal(t, got.N, 7)
	answersAgain(t, c.core, 1) // behind it there is nothing to fetch, and nobody who does
	test.Eventually(t, "nothing is left", func() bool { return objects(t, c.core.broker) == 0 })
}

// A result whose value is gone is a lost one.
func TestResultWithoutItsValue(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	c := clientOf(t, startServer(t).url(), calm())
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{}); return err })
	stored(t, c, 1)
	answersAgain(t, c.core, 1)
	test.Is(t, <-ended, ErrLost)
}

// A large result that has come for a Do which ends at that moment is deleted.
func TestLargeResultOfADoThatEnds(t *testing.T) {
	t.Parallel()
	c := clientOf(t, startServer(t).url(), calm())
	ctx, cancel := context.WithCancel(test.Context(t))
	store := newSlowStore(c.core)
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{}); return err })
	stored(t, c, 1)
	answers(t, c.core, 1)
	<-store.asked
	cancel()
	close(store.release)
	<-ended
	test.Eventually(t, "nothing is left", func() bool { return objects(t, c.core.broker) == 0 })
}

// A Do that ends while it fetches a large result says why, and does not wait for what it deletes.
func TestDoThatEndsWhileItFetches(t *testing.T) {
	t.Parallel()
	cause := errors.New("a cause")
	for name, c := range map[string]struct {
		end  func(k *client, cancel context.CancelCauseFunc)
		want []error
	}{
		"ctx":        {func(_ *client, cancel context.CancelCauseFunc) { cancel(cause) }, []error{context.Canceled, cause}},
		"client":     {func(k *client, _ context.CancelCauseFunc) { k.end(ErrClosed) }, []error{ErrClosed}},
		"connection": {func(k *client, _ context.CancelCauseFunc) { k.end(nats.ErrConnectionClosed) }, []error{nats.ErrConnectionClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			client := clientOf(t, startServer(t).url(), calm())
			store := newSlowStore(client.core)
			ctx, cancel := context.WithCancelCause(test.Context(t))
			ended := test.Started(func() error { _, err := client.Do(ctx, deed{}); return err })
			stored(t, client, 1)
			answers(t, client.core, 1)
			<-store.asked
			began := time.Now()
			c.end(client.core, cancel)
			test.Is(t, <-ended, c.want...)
			if took := time.Since(began); took >= answerTime {
				t.Errorf("it took %v", took)
			}
			close(store.release)
		})
	}
}

// A Do that the server's queue refuses ends with its ctx while its argument is deleted.
func TestDoThatEndsWhileItDeletes(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	o := calm()
	o.MaxTasks = 1
	c := clientOf(t, url, o)
	store := newSlowStore(c.core)
	ctx, cancel := context.WithCancel(test.Context(t))
	first := test.Started(func() error { _, err := c.Do(ctx, deed{}); return err })
	stored(t, c, 1)
	second := test.Started(func() error { _, err := c.Do(ctx, deed{Data: large(2 << 20)}); return err })
	<-store.dropped
	began := time.Now()
	cancel()
	<-second
	if took := time.Since(began); took >= answerTime {
		t.Errorf("it took %v", took)
	}
	<-first
	close(store.release)
}
