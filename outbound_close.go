package gipc

import (
	"context"
	"slices"
)

// flush waits until everything that was accepted before the call is in the stream.
func (out *outbound) flush(ctx context.Context) error {
	ended := ctx.Err()
	out.mu.Lock()
	if err := out.refusal(ended, false); err != nil {
		out.mu.Unlock()
		return err
	}
	out.ops++
	out.mu.Unlock()
	err := out.waitSent(ctx)
	out.mu.Lock()
	out.ops--
	out.mu.Unlock()
	return err
}

// waitSent waits for the batch under way, if anything is queued for the next one, which takes the whole queue, and for the
// messages in line whose calls have left.
func (out *outbound) waitSent(ctx context.Context) error {
	out.mu.Lock()
	defer out.mu.Unlock()
	last := out.begun
	if len(out.queue) > 0 {
		last++
	}
	left := slices.DeleteFunc(slices.Clone(out.line), func(p *put) bool { return !p.left })
	unsent := func(p *put) bool { return p.batch == 0 || p.batch > out.ended }
	for out.ended < last || slices.ContainsFunc(left, unsent) {
		switch { // a Close that waits for the same may come first: then ended says so
		case out.err != nil:
			return out.err
		case out.broken != nil:
			return out.broken
		}
		if err := out.waitChange(ctx); err != nil {
			return err
		}
	}
	return nil
}

// closeAfterSending refuses new calls, waits until the accepted ones are through, and closes the stream. With ifIdle it
// does so only if there is nothing to wait for.
func (out *outbound) closeAfterSending(ifIdle bool) error {
	out.mu.Lock()
	switch {
	case out.err != nil:
		defer out.mu.Unlock()
		return out.err
	case out.closing:
		defer out.mu.Unlock()
		return ErrClosed
	case ifIdle && (out.ops > 0 || out.feeds > 0 || out.writing):
		defer out.mu.Unlock()
		return ErrLocked
	}
	out.closing = true
	out.stopFeeds()
	for out.err == nil && (out.writing || len(out.line) > 0 || out.feeds > 0) {
		_ = out.waitChange(context.Background()) // never ends
	}
	if out.err != nil { // CloseNow, or Spawn
		defer out.mu.Unlock()
		return out.err
	}
	out.err = ErrClosed
	var lost error
	if out.lost {
		lost = out.broken
	}
	out.notify()
	out.mu.Unlock()
	err := out.dst.close()
	if lost != nil {
		return lost
	}
	return err
}

// closeNow closes the stream and answers every call under way with ErrClosed.
func (out *outbound) closeNow() error {
	out.mu.Lock()
	if out.err != nil {
		defer out.mu.Unlock()
		return out.err
	}
	out.shut(ErrClosed)
	out.mu.Unlock()
	return out.dst.close()
}

// shut ends the use of the end with err. The Puts whose frames an interruptible write may be reading are left to it:
// their memory is in use until the stream is closed and the write returns.
func (out *outbound) shut(err error) {
	out.err = err
	out.stopFeeds()
	if !out.dst.interruptible() {
		out.dropAll(err)
	} else {
		for _, p := range out.line {
			out.finish(p, err)
		}
		out.queue, out.line = nil, nil
	}
	out.notify()
}

// beginFeed counts a channel of Chan until endFeed: Close waits for it. The channel it returns is closed when the end is
// being closed or is broken.
func (out *outbound) beginFeed(ctx context.Context) (stop <-chan struct{}, err error) {
	ended := ctx.Err()
	out.mu.Lock()
	defer out.mu.Unlock()
	if err := out.refusal(ended, false); err != nil {
		return nil, err
	}
	out.feeds++
	if out.stop == nil {
		out.stop = make(chan struct{})
	}
	return out.stop, nil
}

func (out *outbound) endFeed() {
	out.mu.Lock()
	defer out.mu.Unlock()
	out.feeds--
	out.notify()
}

func (out *outbound) stopFeeds() {
	if out.stop != nil {
		close(out.stop)
		out.stop = nil
	}
}

// beginMove keeps everybody from writing while Spawn hands the end over. It waits until what was accepted is written,
// and fails if a call is under way.
func (out *outbound) beginMove(ctx context.Context) error {
	out.mu.Lock()
	defer out.mu.Unlock()
	if err := out.refusal(ctx.Err(), false); err != nil {
		return err
	}
	if out.ops > 0 || out.feeds > 0 {
		return ErrLocked
	}
	for out.writing {
		if out.moving { // two that waited for each other's ends would wait for ever
			return ErrLocked
		}
		if err := out.waitChange(ctx); err != nil {
			return err
		}
		if err := out.refusal(ctx.Err(), false); err != nil {
			return err
		}
		if out.ops > 0 || out.feeds > 0 {
			return ErrLocked
		}
	}
	out.writing, out.moving = true, true
	return nil
}

// abandonMove lets calls go on as if nothing had been.
func (out *outbound) abandonMove() {
	out.mu.Lock()
	defer out.mu.Unlock()
	out.passOn()
}

// finishMove closes the end here, for the reason err.
func (out *outbound) finishMove(err error) error {
	out.mu.Lock()
	out.writing, out.moving = false, false
	out.shut(err)
	out.mu.Unlock()
	return out.dst.close()
}

// closed returns why the end can't be used any more, or nil.
func (out *outbound) closed() error {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.err
}

// ending returns why the end takes no more calls.
func (out *outbound) ending() error {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.refusal(nil, false)
}

func (out *outbound) snapshot() Stats {
	out.mu.Lock()
	defer out.mu.Unlock()
	s := out.stats
	s.Queued = out.accepted()
	return s
}

// accepted returns how many bytes are still to be written of messages whose calls have returned.
func (out *outbound) accepted() int {
	n := len(out.queue) + out.batch.accepted()
	for _, p := range out.line {
		if p.left {
			n += p.size()
		}
	}
	return n
}
