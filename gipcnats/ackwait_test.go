package gipcnats

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc/internal/test"
)

// ackWait returns what the server goes by.
func ackWait(t testing.TB, stream jetstream.Stream, consumer string) time.Duration {
	t.Helper()
	c, err := stream.Consumer(t.Context(), consumer)
	test.Check(t, err)
	return c.CachedInfo().Config.AckWait
}

// shorten does what somebody else with a shorter AckWait might.
func shorten(t testing.TB, stream jetstream.Stream, consumer string) {
	t.Helper()
	c, err := stream.Consumer(t.Context(), consumer)
	test.Check(t, err)
	config := c.CachedInfo().Config
	config.AckWait = 500 * time.Millisecond
	_, err = stream.UpdateConsumer(t.Context(), config)
	test.Check(t, err)
}

// The longest AckWait of all Serves counts: with a shorter one, others' signs of life would come too late.
func TestAckWaitOfServes(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	var first *server
	for _, c := range []struct{ own, counts time.Duration }{
		{2 * time.Second, 2 * time.Second}, {3 * time.Second, 3 * time.Second}, {time.Second, 3 * time.Second},
	} {
		s, err := newServer(test.Context(t), connect(t, url), kindOfTask(obey, ""), "obey me", *resolved(t, &Options{AckWait: c.own}))
		test.Check(t, err)
		t.Cleanup(s.cut)
		test.Equal(t, ackWait(t, s.tasks, s.kind.print), c.counts)
		if first == nil {
			first = s
		}
	}
	shorten(t, first.tasks, first.kind.print)
	serving(t, url, &Options{AckWait: time.Second}, nil)
	test.Eventually(t, "a Serve that lives has its AckWait again", func() bool {
		return ackWait(t, first.tasks, first.kind.print) == time.Second
	})
	shorten(t, first.tasks, first.kind.print)
	test.Eventually(t, "and once more, while it runs", func() bool {
		return ackWait(t, first.tasks, first.kind.print) == time.Second
	})
}

func TestAckWaitOfReaders(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	var r *Reader[deed]
	for _, c := range []struct{ own, counts time.Duration }{
		{2 * time.Second, 2 * time.Second}, {3 * time.Second, 3 * time.Second}, {time.Second, 3 * time.Second},
	} {
		r = readerOf(t, url, &ChannelOptions[deed]{AckWait: c.own})
		test.Equal(t, ackWait(t, r.channel.stream, "readers"), c.counts)
	}
	shorten(t, r.channel.stream, "readers")
	test.Eventually(t, "the longest of those that live counts again", func() bool {
		return ackWait(t, r.channel.stream, "readers") == 3*time.Second
	})
}

// A task that runs is not delivered to others because one of them has a shorter AckWait.
func TestShorterAckWaitStealsNothing(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	serving(t, url, &Options{AckWait: 30 * time.Second}, nil)
	c := clientOf(t, url, nil)
	short, cancel := context.WithTimeout(ctx, 4*time.Second) // this long is what is tested
	defer cancel()
	path := t.TempDir() + "/x"
	ended := test.Started(func() error { _, err := c.Do(ctx, deed{Do: "until told", Path: path}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	serving(t, url, &Options{AckWait: time.Second}, nil)
	<-short.Done()
	test.Equal(t, len(lines(t, path)), 1)
	remove(t, path)
	test.Check(t, <-ended)
}

// Who needs a longer AckWait leaves everything else of the consumer as it is, whatever its own options.
func TestAckWaitAlone(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	s, _ := alone(t, &Options{AckWait: time.Second})
	c, err := s.tasks.Consumer(ctx, s.kind.print)
	test.Check(t, err)
	edited := c.CachedInfo().Config
	edited.Description = "an administrator's"
	_, err = s.tasks.UpdateConsumer(ctx, edited)
	test.Check(t, err)
	other, err := newServer(ctx, s.nc, s.kind, "obey me", *resolved(t, &Options{AckWait: 2 * time.Second, Memory: true}))
	test.Check(t, err)
	t.Cleanup(other.cut)
	c, err = s.tasks.Consumer(ctx, s.kind.print)
	test.Check(t, err)
	edited.AckWait = 2 * time.Second
	test.Equal(t, reflect.DeepEqual(c.CachedInfo().Config, edited), true)
}

// Far more Serves and Readers may wait than NATS's default of 512 requests, beyond which the server says nothing.
func TestRequestsThatWait(t *testing.T) {
	t.Parallel()
	s, _ := alone(t, &Options{})
	r := readerOf(t, s.nc.ConnectedUrl(), nil)
	for name, stream := range map[string]jetstream.Stream{s.kind.print: s.tasks, "readers": r.channel.stream} {
		c, err := stream.Consumer(t.Context(), name)
		test.Check(t, err)
		test.Equal(t, c.CachedInfo().Config.MaxWaiting, maxRequests)
	}
}
