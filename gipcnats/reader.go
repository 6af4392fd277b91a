package gipcnats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc"
)

// Get acknowledges what this Reader's earlier Gets returned, waits for the next message, and returns it. It returns io.EOF when
// the channel was closed and all messages before its end are acknowledged, by whatever Reader, now and ever after.
//
// If the channel's stream is gone, it returns an error that matches ErrNoChannel.
//
// It returns the ctx's error as soon as ctx ends, and loses no message. After a *gipc.DecodeError or *gipc.TooLargeError the next
// Get returns the next message. A message whose large value can't be fetched, for any other reason than that it is gone, goes
// back to the channel. If its bytes are not those that were stored it does so until it was delivered five times. If it is gone, the
// error matches ErrLost, and the message counts as received.
//
// What Get returned is delivered to another Reader if this one's process dies before it is acknowledged. While the Reader lives,
// that does not happen, however long its owner works on it.
func (r *Reader[T]) Get(ctx context.Context) (T, error) {
	var v T
	err := r.GetInto(ctx, &v)
	return v, err
}

// GetInto is Get into *v. The codecs of package gipc reuse the memory of *v. After an error *v may hold part of a message.
func (r *Reader[T]) GetInto(ctx context.Context, v *T) error {
	err := r.get(ctx, v)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("gipcnats: get from channel %s: %w", r.channel.name, err)
	}
	return err
}

func (r *Reader[T]) get(ctx context.Context, v *T) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return causeOf(ctx)
	}
	r.said(r.acknowledge(ctx))
	for {
		r.mu.Lock()
		ended := r.ended
		r.mu.Unlock()
		switch {
		case r.ctx.Err() != nil:
			return context.Cause(r.ctx)
		case ended:
			return io.EOF
		}
		select {
		case m := <-r.queue:
			r.madeRoom()
			if m.Subject() == r.channel.end() {
				r.atEnd(ctx, m)
				continue
			}
			return r.deliver(ctx, m, v)
		case <-ctx.Done():
			return causeOf(ctx)
		case <-r.ctx.Done():
		}
	}
}

// deliver decodes a message. It counts as received only once its value is here, or will never be: until then nobody may
// acknowledge it.
func (r *Reader[T]) deliver(ctx context.Context, m delivery, v *T) error {
	payload, err := r.payload(ctx, m)
	if err != nil && !staysUsable(err) && !isCorrupt(m, err) {
		r.giveBack(m)
		return err
	}
	if closed := r.hold(m); closed != nil {
		return closed
	}
	if err != nil {
		return err
	}
	return decode(r.channel.codec, payload, v)
}

const maxCorrupt = 5 // deliveries of a message whose value is not what was stored

// isCorrupt says whether fetching a value anew is of no use.
func isCorrupt(m delivery, err error) bool {
	return errors.Is(err, jetstream.ErrDigestMismatch) && m.Number() >= maxCorrupt
}

// payload returns the encoding that a message has, or stands for.
func (r *Reader[T]) payload(ctx context.Context, m delivery) ([]byte, error) {
	data := m.Data()
	if len(data) < channelHead || data[0] != format {
		return nil, &gipc.DecodeError{Type: "message", Codec: r.channel.codec.Name(), Size: len(data), Err: errFormat}
	}
	if data[1]&flagLarge == 0 {
		return data[channelHead:], checkSize(data[channelHead:], r.channel.opts.MaxValue)
	}
	both, stop := either(ctx, r.ctx)
	defer stop()
	value, err := r.channel.getValue(both, m.Subject())
	switch {
	case errors.Is(err, errNoValue):
		return nil, fmt.Errorf("%w: %w", ErrLost, err)
	case err == nil || both.Err() == nil:
		return value, err
	case r.ctx.Err() != nil:
		return nil, context.Cause(r.ctx)
	}
	return nil, causeOf(ctx)
}

// hold notes that a Get returns a message. In a closed Reader none does: Close gives back what it had.
func (r *Reader[T]) hold(m delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	r.held = append(r.held, m)
	return nil
}

// giveBack gives a message that no Get has returned to the channel, if Close has not.
func (r *Reader[T]) giveBack(m delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, here := r.mine[m]; here {
		delete(r.mine, m)
		r.said(m.Nak())
	}
}

// atEnd decides whether the end that was delivered is the end: not as long as a Reader has a message that it may not live to
// acknowledge. In any case the mark goes back, for other Readers or for later. Here it would be in their way: nothing is
// fetched any more.
func (r *Reader[T]) atEnd(ctx context.Context, m delivery) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	info, err := r.consumer.Info(ctx)
	ended := err == nil && info.NumPending == 0 && info.NumAckPending == 1 // the mark itself
	if ended {
		r.endFetch()
		<-r.fetched
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = ended
	delete(r.mine, m)
	r.said(m.NakWithDelay(lastPause / 4)) // by then the server knows that nothing is fetched here
}

// Ack acknowledges what the Reader's Gets have returned.
func (r *Reader[T]) Ack() error {
	if err := r.acknowledge(r.ctx); err != nil {
		return fmt.Errorf("gipcnats: acknowledge in channel %s: %w", r.channel.name, err)
	}
	return nil
}

// acknowledge has large values deleted behind it. If too many of them wait, it waits, but no longer than ctx: a sweep finds the
// rest. Where the stream is gone it says nothing to the server: that would be of other messages.
func (r *Reader[T]) acknowledge(ctx context.Context) error {
	r.mu.Lock()
	if cause := context.Cause(r.ctx); errors.Is(cause, ErrNoChannel) {
		r.held = nil
		r.mu.Unlock()
		return cause
	}
	held := r.held
	r.held = nil
	for _, m := range held {
		delete(r.mine, m)
	}
	r.mu.Unlock()
	var err error
	for _, m := range held {
		err = errors.Join(err, m.Ack())
	}
	for _, m := range held {
		if data := m.Data(); len(data) >= channelHead && data[1]&flagLarge != 0 {
			select {
			case r.drops <- m.Subject():
			case <-ctx.Done():
			case <-r.ctx.Done():
			}
		}
	}
	return err
}

// dropping deletes large values that are done. Close waits for those that wait, but no longer than for one answer.
func (r *Reader[T]) dropping() {
	for r.ctx.Err() == nil {
		select {
		case subject := <-r.drops:
			r.channel.drop(subject)
		case <-r.ctx.Done():
		}
	}
	for last := time.Now().Add(answerTime); len(r.drops) > 0 && time.Now().Before(last); {
		r.channel.drop(<-r.drops)
	}
}

// All returns the messages up to the end of the channel, which ends the loop without an error. Any other error is yielded with
// what there is of a value. Behind a *gipc.DecodeError, a *gipc.TooLargeError or ErrLost, which leave the Reader usable, the loop goes on.
// Each step acknowledges the one before. If the loop is left early, the last message is not: call Ack if it is done.
func (r *Reader[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := r.Get(ctx)
			if err == io.EOF || !yield(v, err) || err != nil && !staysUsable(err) {
				return
			}
		}
	}
}

func staysUsable(err error) bool {
	var decode *gipc.DecodeError
	var size *gipc.TooLargeError
	return errors.As(err, &decode) || errors.As(err, &size) || errors.Is(err, ErrLost)
}

// Close ends the Reader, not the channel. What it holds, or is on its way to it, goes back to the channel, and so does what it
// returned and is not acknowledged. Gets under way, and later ones, return gipc.ErrClosed, and so does a second Close. Close
// waits until large values that were acknowledged are deleted, if the server answers. Of a Reader that had ended already, since
// its channel or its connection is gone, it returns why.
func (r *Reader[T]) Close() error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.stop(gipc.ErrClosed)
	r.mu.Unlock()
	why := gipc.ErrClosed
	if !closed {
		r.done.Wait()
		why = r.letGo()
	}
	if why != nil {
		return fmt.Errorf("gipcnats: close reader of channel %s: %w", r.channel.name, why)
	}
	return nil
}

// letGo gives back what the Reader has, when all its goroutines have ended.
func (r *Reader[T]) letGo() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	cause := context.Cause(r.ctx)
	if cause == gipc.ErrClosed {
		cause = nil
		for m := range r.mine {
			r.said(m.Nak())
		}
	}
	clear(r.mine)
	r.held = nil
	return cause
}

// Remove deletes the channel with all that is in it. Close the Readers first.
func (r *Reader[T]) Remove(ctx context.Context) error {
	if err := r.channel.js.DeleteStream(ctx, r.channel.streamName()); err != nil {
		return fmt.Errorf("gipcnats: remove channel %s: %w", r.channel.name, err)
	}
	return nil
}

// said notes that an answer to the server could not be sent. The message is delivered again then.
func (r *Reader[T]) said(err error) {
	if err != nil {
		r.channel.opts.Logger.Debug("gipcnats: the server is not told", "channel", r.channel.name, "error", err)
	}
}

func (r *Reader[T]) madeRoom() {
	select {
	case r.room <- struct{}{}:
	default:
	}
}

// fetch keeps the queue filled. It asks for more when half of it is empty.
func (r *Reader[T]) fetch() {
	defer close(r.fetched)
	seen := r.channel.nc.Stats().Reconnects // the stream was the same then
	for looked := time.Now(); r.fetching.Err() == nil; {
		if now := r.channel.nc.Stats().Reconnects; now != seen || time.Since(looked) > time.Second {
			if r.channel.isOver(r.fetching) {
				r.stop(ErrNoChannel)
				continue
			}
			seen, looked = now, time.Now()
		}
		free := cap(r.queue) - len(r.queue)
		if 2*free < cap(r.queue) {
			select {
			case <-r.room:
			case <-r.fetching.Done():
			}
			continue
		}
		if err := r.fetchSome(free); err != nil && r.fetching.Err() == nil {
			if r.channel.nc.IsClosed() {
				r.stop(nats.ErrConnectionClosed)
			} else if r.channel.isOver(r.fetching) {
				r.stop(ErrNoChannel)
			}
			r.channel.opts.Logger.Debug("gipcnats: no messages, trying again", "channel", r.channel.name, "error", err)
			_ = sleep(r.fetching, firstPause)
		}
	}
}

// fetchSome asks for n messages and takes what comes, until the request has ended or the Reader fetches no more. It takes also what is
// on its way then.
func (r *Reader[T]) fetchSome(n int) error {
	c := r.channel
	sub, err := c.nc.SubscribeSync(c.nc.NewInbox())
	if err != nil {
		return err
	}
	err = sub.SetPendingLimits(-1, -1) // no more comes than was asked for
	if err == nil {
		err = c.askFor(n, c.streamName(), c.consumerConfig().Durable, sub.Subject)
	}
	if err == nil {
		err = r.takeFrom(sub, n)
	}
	if err != nil && c.nc.IsConnected() && sub.Drain() == nil {
		for {
			m, over := nextWithin(context.Background(), sub, askTime)
			if over != nil {
				break
			}
			if !isStatus(m) {
				r.take(m)
			}
		}
	}
	return errors.Join(err, sub.Unsubscribe())
}

// takeFrom takes n messages, or fewer if their request ends.
func (r *Reader[T]) takeFrom(sub *nats.Subscription, n int) error {
	for n > 0 {
		m, err := nextWithin(r.fetching, sub, 2*pullHeartbeat)
		if err != nil {
			return err
		}
		switch status := m.Header.Get("Status"); {
		case !isStatus(m):
			r.take(m)
			n--
		case status == "408": // it has waited long enough
			return nil
		case status != "100": // it lives
			return errAnswered(m)
		}
	}
	return nil
}

// take keeps a message that has come. The queue has room: no more were asked for.
func (r *Reader[T]) take(m *nats.Msg) {
	d := pulled{r.channel.nc, m}
	r.mu.Lock()
	r.mine[d] = struct{}{}
	r.mu.Unlock()
	r.queue <- d
}

// signsOfLife tells the server three times in AckWait which messages are here, so that they are not given to others.
func (r *Reader[T]) signsOfLife() {
	for sleep(r.ctx, r.channel.opts.AckWait/3) == nil {
		r.mu.Lock()
		for m := range r.mine {
			r.said(m.InProgress())
		}
		r.mu.Unlock()
	}
}
