package gipcnats

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc/internal/test"
)

// What is too old by one clock is too old: one stands still while the machine sleeps, the other one may be set.
func TestAge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ monotonic, wall, want time.Duration }{
		{time.Second, time.Hour, time.Hour},
		{time.Hour, time.Second, time.Hour},
		{time.Second, -1, math.MaxInt64},
	} {
		test.Equal(t, greaterAge(c.monotonic, c.wall), c.want)
	}
}

// A message that was sent before the clock was set back is not sent again: nobody knows whether the server would know it.
func TestPutWhileTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	w := writerOf(t, startServer(t).url(), nil)
	s := &sending{knownFor: time.Minute, asked: time.Now().Add(time.Hour)}
	test.Is(t, w.channel.ready(test.Context(t), s), errForgotten)
}

// A large value that waits is renewed when the clock was set back.
func TestValueWhileTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	b := writerOf(t, startServer(t).url(), nil).channel.broker
	v := &largeValue{stream: "s", subject: "a", data: large(2 << 20), young: time.Now().Add(time.Hour)}
	test.Check(t, b.keep(test.Context(t), v))
	test.Equal(t, only(t, b).Name, "a")
}

// anHourLater is a server whose clock says that it is an hour later.
type anHourLater struct{ jetstream.JetStream }

func (l anHourLater) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := l.JetStream.Stream(ctx, name)
	if err == nil {
		s.CachedInfo().TimeStamp = s.CachedInfo().TimeStamp.Add(time.Hour)
	}
	return s, err
}

// How old a value is says the server's clock, which has stored it, and not that of the machine that sweeps.
func TestSweepGoesByTheServersClock(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	b := writerOf(t, startServer(t).url(), nil).channel.broker
	test.Check(t, b.putValue(ctx, "none", b.subject("result", "gone", "1"), large(2<<20)))
	_, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: b.chunks("UNFINISHED"), Data: large(100)})
	test.Check(t, err)
	test.Check(t, b.sweep(ctx, sweepAge))
	before := objects(t, b)
	b.js = anHourLater{b.js}
	test.Check(t, b.sweep(ctx, sweepAge))
	test.Equal(t, before > 1, true)
	test.Equal(t, objects(t, b), 0)
}
