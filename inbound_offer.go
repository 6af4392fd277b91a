package gipc

import (
	"context"
	"slices"
)

// unread is a message that was given back.
type unread struct {
	seq     uint64
	payload []byte
}

// offer is a message that a Chan has taken, until somebody receives it or its ctx ends.
type offer struct {
	unread
	ctx context.Context
}

func newOffer(ctx context.Context) *offer {
	return &offer{ctx: ctx, unread: unread{payload: []byte{}}}
}

// ending says whether the Chan gives the message back, unless somebody receives it at this moment.
func (o *offer) ending() bool {
	select {
	case <-o.ctx.Done():
		return true
	default:
		return false
	}
}

// beginOffer keeps what next has just returned; the caller is still inside. Whoever gets in after the end of o's ctx waits
// for endOffer or giveBack: until then the message is nowhere else.
func (in *inbound) beginOffer(o *offer, payload []byte) {
	o.seq, o.payload = in.seq, append(o.payload[:0], payload...)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.offers = append(in.offers, o)
	in.hasUnread.Store(true)
}

// endOffer forgets an offered message, so that o can be used for the next.
func (in *inbound) endOffer(o *offer) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.endOfferLocked(o)
}

func (in *inbound) endOfferLocked(o *offer) {
	i := slices.Index(in.offers, o)
	in.offers = slices.Delete(in.offers, i, i+1)
	in.hasUnread.Store(len(in.unread)+len(in.offers) > 0)
	if in.answered != nil {
		close(in.answered)
		in.answered = nil
	}
}

// giveBack makes an offered message the next one again, but for earlier ones. Its memory is the inbound's from here.
func (in *inbound) giveBack(o *offer) {
	in.mu.Lock()
	at := slices.IndexFunc(in.unread, func(u unread) bool { return u.seq > o.seq })
	if at < 0 {
		at = len(in.unread)
	}
	in.unread = slices.Insert(in.unread, at, o.unread)
	in.stats.Received--
	in.stats.BytesReceived -= uint64(len(o.payload))
	in.endOfferLocked(o)
	in.mu.Unlock()
	in.src.interrupt() // a Get that waits for bytes must look again
}

// takeUnread returns the first message that was given back, if there is any, else nil.
func (in *inbound) takeUnread(ctx context.Context) ([]byte, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for slices.ContainsFunc(in.offers, (*offer).ending) {
		if err := in.waitAnswer(ctx); err != nil {
			return nil, err
		}
	}
	if len(in.unread) == 0 {
		return nil, nil
	}
	first := in.unread[0]
	in.unread = slices.Delete(in.unread, 0, 1)
	in.hasUnread.Store(len(in.unread)+len(in.offers) > 0)
	in.seq = first.seq
	return first.payload, nil
}

// waitAnswer unlocks mu, waits until an offer has ended, and locks mu again.
func (in *inbound) waitAnswer(ctx context.Context) error {
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
