package gipcnats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc"
)

// ChannelOptions say how a channel's messages travel. The zero value, and nil, are good, but for a T that CBOR can't encode.
// Readers and Writers of a channel need the same Prefix and Codec. The options of the stream count when it is made, by whoever
// comes first.
type ChannelOptions[T any] struct {
	Codec gipc.Codec[T] // nil: gipc.CBOR

	// Prefix, Memory, Replicas, MaxValue and Logger are as in Options, and so is AckWait: after how long without a sign of life
	// from its Reader a message goes to another one. The longest of all Readers counts for all.
	Prefix   string
	Memory   bool
	Replicas int
	AckWait  time.Duration
	MaxValue int
	Logger   *slog.Logger

	// MaxMessages and MaxBytes bound the stream. When it is full, Put waits. 0: no limit but the server's.
	MaxMessages, MaxBytes int64

	// Ahead is how many messages the server sends to a Reader before they are asked for. Other Readers don't get them
	// meanwhile. 0: 64.
	Ahead int
}

// A message of a channel is a byte of format, one of flags, and the value's encoding. A large value is an object, whose message
// has a subject of its own. The end is a message on a subject of its own, too: so a Put can demand that there is none.

const channelHead = 1 + 1

// channel is what the two ends have in common.
type channel[T any] struct {
	*broker
	name     string
	codec    gipc.Codec[T]
	ahead    int
	stream   jetstream.Stream
	knownFor time.Duration // for how long the stream knows a message's id, for certain
}

func openChannel[T any](ctx context.Context, nc *nats.Conn, name string, opts *ChannelOptions[T]) (*channel[T], error) {
	var o ChannelOptions[T]
	if opts != nil {
		o = *opts
	}
	def(&o.Ahead, 64)
	general := Options{Prefix: o.Prefix, Memory: o.Memory, Replicas: o.Replicas, AckWait: o.AckWait, MaxValue: o.MaxValue, Logger: o.Logger}
	if err := general.resolve(); err != nil {
		return nil, err
	}
	if name == "" || o.Ahead < 0 || o.MaxMessages < 0 || o.MaxBytes < 0 {
		return nil, errors.New("the name is empty, or a number in ChannelOptions is negative")
	}
	if o.Codec == nil {
		o.Codec = gipc.CBOR[T]{}
	}
	if err := gipc.CheckCodec(o.Codec); err != nil {
		return nil, err
	}
	b, err := newBroker(nc, general)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	c := &channel[T]{broker: b, name: name, codec: o.Codec, ahead: o.Ahead}
	b.sweeps = []string{c.streamName()}
	c.stream, err = b.stream(ctx, jetstream.StreamConfig{
		Name: c.streamName(), Subjects: []string{c.subjectOf(">")}, Retention: jetstream.WorkQueuePolicy,
		MaxMsgs: orNone(o.MaxMessages), MaxBytes: orNone(o.MaxBytes),
	})
	if err != nil {
		return nil, err
	}
	c.knownFor = c.stream.CachedInfo().Config.Duplicates * 3 / 4 // clocks differ, and a message is under way for a while
	return c, nil
}

// isGone says whether the server has no stream of the channel.
func (c *channel[T]) isGone(ctx context.Context) bool {
	made, err := c.madeNow(ctx)
	return err == nil && made.IsZero()
}

// isOver says whether the stream is gone that was opened. There may be another one by now: acks of what is here would be for other
// messages of that.
func (c *channel[T]) isOver(ctx context.Context) bool {
	made, err := c.madeNow(ctx)
	return err == nil && !made.Equal(c.stream.CachedInfo().Created)
}

// madeNow returns when the stream was made that the server has, and zero if it has none. It asks twice before it says so: a server that
// starts may not know all of its streams yet.
func (c *channel[T]) madeNow(ctx context.Context) (made time.Time, err error) {
	for range 2 {
		if made, err = c.created(ctx); !errors.Is(err, jetstream.ErrStreamNotFound) {
			return made, err
		}
		if err := sleep(ctx, lastPause); err != nil {
			return made, err
		}
	}
	return made, nil
}

// created returns when the channel's stream was made.
func (c *channel[T]) created(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	stream, err := c.js.Stream(ctx, c.streamName())
	if err != nil {
		return time.Time{}, err
	}
	return stream.CachedInfo().Created, nil
}

func (c *channel[T]) streamName() string { return c.names.stream("channel", escape(c.name)) }

func (c *channel[T]) subjectOf(tokens ...string) string {
	return c.subject(append([]string{"channel", escape(c.name)}, tokens...)...)
}

// consumerConfig is that of the consumer that all Readers share.
func (c *channel[T]) consumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: "readers", AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.opts.AckWait, MaxDeliver: -1, MaxAckPending: -1,
		MaxWaiting: maxRequests,
	}
}

func (c *channel[T]) end() string { return c.subjectOf("end") }

// Writer is the sending end of a channel. Its methods may be called from any number of goroutines at once. It holds nothing but
// its connection.
type Writer[T any] struct {
	channel *channel[T]
	closing chan struct{} // holds one while a Close is under way

	mu     sync.Mutex // held for moments only
	closed bool
	seen   uint64 // the count of reconnects when the stream was known to be the one that was opened
}

// NewWriter returns a Writer of the channel of this name, and makes the channel if it is missing. Any number of Writers may
// write to a channel. The options, and nil, may be shared.
func NewWriter[T any](ctx context.Context, nc *nats.Conn, name string, opts *ChannelOptions[T]) (*Writer[T], error) {
	c, err := openChannel(ctx, nc, name, opts)
	if err != nil {
		return nil, fmt.Errorf("gipcnats: new writer of channel %s: %w", name, err)
	}
	return &Writer[T]{channel: c, closing: make(chan struct{}, 1), seen: nc.Stats().Reconnects}, nil
}

// Put stores v in the channel. It blocks while the channel is full and while the server is away. Nil means that the message is
// stored. It keeps no reference to v.
//
// When ctx ends, Put returns its error at once. The message is not stored then, unless the error matches ErrUncertain: the
// server was asked and has not answered. Without a connection it is not asked. Put asks again, and the server drops a second
// message, for three quarters of the stream's duplicate window, which is two minutes if NATS's own tools have not changed it.
// Then Put returns ErrUncertain also if ctx has not ended.
//
// Behind the end of the channel the error matches [gipc.ErrClosed], and ErrUncertain as well if the server has not answered before: then
// the message may have come before the end. If the channel's stream is gone, it matches ErrNoChannel. That goes for a stream that was
// made anew while the connection was lost, too: Put looks behind each reconnect, also before it asks again. A value that can't be encoded
// (*gipc.EncodeError) and one that is too large (*gipc.TooLargeError) store nothing.
func (w *Writer[T]) Put(ctx context.Context, v T) error {
	err := w.put(ctx, v)
	if err != nil {
		err = fmt.Errorf("gipcnats: put to channel %s: %w", w.channel.name, err)
	}
	return err
}

func (w *Writer[T]) put(ctx context.Context, v T) error {
	c := w.channel
	if w.isClosed() {
		return gipc.ErrClosed
	}
	data, err := encode(c.codec, []byte{format, 0}, v)
	if err == nil {
		err = checkSize(data[channelHead:], c.opts.MaxValue)
	}
	if err != nil {
		return err
	}
	number := newID()
	m := &nats.Msg{Subject: c.subjectOf("msg"), Data: data, Header: withID(number)}
	m.Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, c.end())
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	s := &sending{knownFor: c.knownFor, sameStream: w.sameStream, isGone: c.isGone}
	if !c.inline(len(data)) {
		m.Subject = c.subjectOf("msg", number)
		m.Data = []byte{format, flagLarge}
		s.value = &largeValue{stream: c.streamName(), subject: m.Subject, data: data[channelHead:]}
	}
	asked, err := c.whenRoom(ctx, s, m)
	switch {
	case err == nil:
		return nil
	case s.value != nil && !asked:
		c.discard(ctx, m.Subject)
	}
	if isWrongSequence(err) {
		err = gipc.ErrClosed
	}
	if asked { // also behind the end: an earlier attempt may have come before it
		return fmt.Errorf("%w: %w", err, ErrUncertain)
	}
	return err
}

// sameStream looks, behind a reconnect, whether the stream is the one that the Writer has opened. If there is none, who publishes
// finds out.
func (w *Writer[T]) sameStream(ctx context.Context) error {
	c := w.channel
	now := c.nc.Stats().Reconnects
	w.mu.Lock()
	same := now == w.seen
	w.mu.Unlock()
	if same {
		return nil
	}
	var created time.Time
	err := insist(ctx, func(ctx context.Context) (err error) {
		created, err = c.created(ctx)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return nil
	case !created.Equal(c.stream.CachedInfo().Created):
		return ErrNoChannel
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = now
	return nil
}

// discard deletes the large value of a message that is not stored. It keeps nobody waiting whose ctx has ended: the server may be
// away.
func (c *channel[T]) discard(ctx context.Context, subject string) {
	if ctx.Err() != nil {
		go c.drop(subject)
		return
	}
	c.drop(subject)
}

// whenRoom stores a message as soon as there is room for it.
func (c *channel[T]) whenRoom(ctx context.Context, s *sending, m *nats.Msg) (asked bool, err error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		asked, err := c.publishWith(ctx, s, m)
		if errors.Is(err, errFull) {
			err = sleep(ctx, pause)
			if err == nil {
				continue
			}
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = causeOf(ctx)
		}
		return asked || !s.asked.IsZero(), err // a full stream may have got it in an earlier attempt
	}
}

// Close ends the channel, for all its Writers: Readers get what is stored, then io.EOF. It blocks while the channel is full and
// while the server is away, or another Close of this Writer is under way. When ctx ends, Close returns its error, and may be
// called again. Closing it twice is gipc.ErrClosed. Close returns ErrNoChannel where Put would. A Writer that is dropped without
// Close ends nothing.
func (w *Writer[T]) Close(ctx context.Context) error {
	err := w.close(ctx)
	if err != nil {
		err = fmt.Errorf("gipcnats: close channel %s: %w", w.channel.name, err)
	}
	return err
}

func (w *Writer[T]) close(ctx context.Context) error {
	c := w.channel
	select {
	case w.closing <- struct{}{}:
		defer func() { <-w.closing }()
	case <-ctx.Done():
		return causeOf(ctx)
	}
	if w.isClosed() {
		return gipc.ErrClosed
	}
	// No id is needed: there is one end only. With one, the end of a channel that was purged would count as stored.
	m := nats.NewMsg(c.end())
	m.Data = []byte{format, 0}
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	asked, err := c.whenRoom(ctx, &sending{sameStream: w.sameStream, isGone: c.isGone}, m)
	switch {
	case err == nil || isWrongSequence(err): // another Writer was faster
		w.mu.Lock()
		defer w.mu.Unlock()
		w.closed = true
		return nil
	case asked:
		err = fmt.Errorf("%w: %w", err, ErrUncertain)
	}
	return err
}

func (w *Writer[T]) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// Reader is a receiving end of a channel. All Readers of a channel share its messages. Its methods may be called from any number
// of goroutines at once, but a Get acknowledges what other goroutines got before. So give each its own Reader.
type Reader[T any] struct {
	channel  *channel[T]
	consumer jetstream.Consumer
	ctx      context.Context // ends with Close, or the connection
	stop     context.CancelCauseFunc
	done     sync.WaitGroup
	fetching context.Context // ends with ctx, or at the end of the channel
	endFetch context.CancelFunc
	fetched  chan struct{} // closed when fetch has returned
	turn     chan struct{} // holds one while a Get is under way
	queue    chan delivery // fetched, in the order of the stream
	room     chan struct{} // has room for one: a Get has taken something from queue
	drops    chan string   // subjects of large values that are done

	mu     sync.Mutex
	mine   map[delivery]struct{} // fetched and not acknowledged: kept by in-progress acks
	held   []delivery            // those that Get has returned
	ended  bool                  // the end was read
	closed bool                  // Close was called
}

// NewReader returns a Reader of the channel of this name, and makes the channel if it is missing. Close it when it is not needed
// any more: it holds messages that others don't get meanwhile. The options, and nil, may be shared.
func NewReader[T any](ctx context.Context, nc *nats.Conn, name string, opts *ChannelOptions[T]) (*Reader[T], error) {
	c, err := openChannel(ctx, nc, name, opts)
	var consumer jetstream.Consumer
	if err == nil {
		consumer, err = shared(ctx, c.stream, c.consumerConfig())
	}
	if err != nil {
		return nil, fmt.Errorf("gipcnats: new reader of channel %s: %w", name, err)
	}
	r := &Reader[T]{
		channel: c, consumer: consumer, turn: make(chan struct{}, 1), room: make(chan struct{}, 1), drops: make(chan string, c.ahead),
		queue: make(chan delivery, c.ahead), mine: map[delivery]struct{}{}, fetched: make(chan struct{}),
	}
	r.ctx, r.stop = context.WithCancelCause(context.Background())
	r.fetching, r.endFetch = context.WithCancel(r.ctx)
	r.done.Go(r.fetch)
	r.done.Go(r.signsOfLife)
	r.done.Go(r.dropping)
	r.done.Go(func() { c.keepAckWait(r.ctx, c.stream, c.consumerConfig()) })
	r.done.Go(func() { c.sweeping(r.ctx) })
	return r, nil
}
