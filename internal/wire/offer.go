package wire

import (
	"context"
	"slices"
)

// unread is a message that was given back.
type unread struct {
	seq     uint64
	payload []byte
}

// Offers is a call that takes messages and offers them to somebody, one after the other, until its ctx ends: a native
// channel. A message that nobody has accepted goes back. Its methods are for one goroutine.
type Offers struct {
	in   *Inbound
	ctx  context.Context
	gone <-chan struct{}
	unread
}

// Offer begins such a call, which counts as under way until Quit.
func (in *Inbound) Offer(ctx context.Context) (*Offers, error) {
	_ = ctxErr(ctx)
	gone, err := in.join()
	if err != nil {
		return nil, err
	}
	return &Offers{in: in, ctx: ctx, gone: gone, unread: unread{payload: []byte{}}}, nil
}

// Gone is closed with the end.
func (o *Offers) Gone() <-chan struct{} { return o.gone }

// Quit ends the call.
func (o *Offers) Quit() { o.in.quit() }

// Begin keeps the payload that Next has just returned, before Done. Whoever gets in after the end of the ctx waits for
// Accepted or GiveBack: until then the message is nowhere else.
func (o *Offers) Begin(payload []byte) {
	in := o.in
	o.seq, o.payload = in.seq, append(o.payload[:0], payload...)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.offers = append(in.offers, o)
	in.hasUnread.Store(true)
}

// Accepted forgets the message that is offered.
func (o *Offers) Accepted() {
	o.in.mu.Lock()
	defer o.in.mu.Unlock()
	o.end()
}

// GiveBack makes the message the next one again, but for earlier ones. It ends the offers: its memory is the Inbound's
// from here.
func (o *Offers) GiveBack() {
	in := o.in
	in.mu.Lock()
	at := slices.IndexFunc(in.unread, func(u unread) bool { return u.seq > o.seq })
	if at < 0 {
		at = len(in.unread)
	}
	in.unread = slices.Insert(in.unread, at, o.unread)
	in.stats.Messages--
	in.stats.Bytes -= uint64(len(o.payload))
	o.end()
	in.mu.Unlock()
	in.src.Interrupt() // a Get that waits for bytes must look again
}

// end takes o out of the offers that others wait for. mu is held.
func (o *Offers) end() {
	in := o.in
	if cap(o.payload) > maxPooledBody { // it would be held while o waits for the next message
		o.payload = []byte{}
	}
	i := slices.Index(in.offers, o)
	in.offers = slices.Delete(in.offers, i, i+1)
	in.hasUnread.Store(len(in.unread)+len(in.offers) > 0)
	if in.answered != nil {
		close(in.answered)
		in.answered = nil
	}
}

// ending says whether the message goes back, unless somebody accepts it at this moment.
func (o *Offers) ending() bool {
	select {
	case <-o.ctx.Done():
		return true
	default:
		return false
	}
}

// takeUnread returns the first message that was given back, if there is any.
func (in *Inbound) takeUnread(ctx context.Context) (payload []byte, there bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for slices.ContainsFunc(in.offers, (*Offers).ending) {
		if err := in.waitAnswer(ctx); err != nil {
			return nil, false, err
		}
	}
	if len(in.unread) == 0 {
		return nil, false, nil
	}
	first := in.unread[0]
	in.unread = slices.Delete(in.unread, 0, 1)
	in.hasUnread.Store(len(in.unread)+len(in.offers) > 0)
	in.seq = first.seq
	return first.payload, true, nil
}

// waitAnswer unlocks mu, waits until an offer has ended, and locks mu again.
func (in *Inbound) waitAnswer(ctx context.Context) error {
	if in.answered == nil {
		in.answered = make(chan struct{})
	}
	answered := in.answered
	in.mu.Unlock()
	defer in.mu.Lock()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
