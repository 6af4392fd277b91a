package wire

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/go-gipc/gipc/internal/stream"
)

// Close closes the end and its stream. It wakes every call under way, which returns ErrClosed.
func (in *Inbound) Close() error { return in.close(false) }

// TryClose is Close if no call is under way, and ErrLocked otherwise.
func (in *Inbound) TryClose() error { return in.close(true) }

func (in *Inbound) close(ifIdle bool) error {
	if err := in.shut(ErrClosed, ifIdle); err != nil {
		return err
	}
	return in.src.Close()
}

// TryEnter keeps every other call waiting until Leave, or Close. It fails if one is under way.
func (in *Inbound) TryEnter() error { return in.tryEnter() }

// Leave ends what TryEnter began.
func (in *Inbound) Leave() { in.leave() }

// Err returns why the end can't be used any more, or nil.
func (in *Inbound) Err() error { return in.closed() }

// Stream returns the byte stream.
func (in *Inbound) Stream() io.Closer { return in.stream }

// ReadStats counts what has passed a reading half.
type ReadStats struct {
	Messages uint64 // taken
	Bytes    uint64 // of their payloads
	Reads    uint64 // of the stream
	Calls    int    // under way
}

// Stats returns the counters. It works on a closed end too.
func (in *Inbound) Stats() ReadStats {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.stats
	s.Calls = in.ops
	return s
}

// Flush waits until everything that was accepted before the call is in the stream.
func (out *Outbound) Flush(ctx context.Context) error {
	ended := ctxErr(ctx)
	out.mu.Lock()
	defer func() { out.unlock() }()
	if err := out.refusal(ended, false); err != nil {
		return err
	}
	out.ops++
	err := out.waitSent(ctx)
	out.ops--
	return err
}

// WaitSent is Flush for a call that counts already: a native channel that was closed.
func (out *Outbound) WaitSent(ctx context.Context) error {
	out.mu.Lock()
	defer func() { out.unlock() }()
	return out.waitSent(ctx)
}

// waitSent waits, without mu, until what was accepted is in the stream. A Close that waits for the same may come first, and
// is no reason to fail.
func (out *Outbound) waitSent(ctx context.Context) error {
	if out.lost {
		return out.failure()
	}
	unsent := out.unsent()
	err := out.wait(ctx, func() bool { return !unsent() || out.failure() != nil })
	if err == nil && unsent() {
		return out.failure()
	}
	return err
}

// failure says why nothing more is written.
func (s *sending) failure() error {
	if s.err != nil {
		return s.err
	}
	return s.broken
}

// Close refuses new calls, waits until the accepted ones are through, and closes the stream. With mark it writes the mark of
// the end before, but doesn't wait for room for it: without it the reader knows that something is missing.
func (out *Outbound) Close(mark bool) error { return out.close(false, mark) }

// TryClose is Close if there is nothing to wait for, and ErrLocked otherwise.
func (out *Outbound) TryClose(mark bool) error { return out.close(true, mark) }

func (out *Outbound) close(ifIdle, mark bool) error {
	out.mu.Lock()
	switch {
	case out.err != nil:
		defer out.mu.Unlock()
		return out.err
	case out.closing:
		defer out.mu.Unlock()
		return ErrClosed
	case ifIdle && out.inUse():
		defer out.mu.Unlock()
		return ErrLocked
	}
	out.closing = true
	_ = out.wait(context.Background(), func() bool { return out.err != nil || out.idle() }) // never ends
	if out.err != nil {                                                                     // CloseNow, or Spawn
		defer out.unlock()
		return out.err
	}
	out.err, out.writer = ErrClosed, ender
	var lost error
	if out.lost {
		lost = out.broken
	}
	mark = mark && out.opts.EndMark && out.broken == nil
	out.unlock()
	if mark {
		return out.writeMark()
	}
	if err := out.closeStream(); lost == nil {
		return err
	}
	return lost
}

// writeMark writes the mark and closes the stream. Where there is no room for the mark now, a goroutine goes on with it until
// there is, or nobody reads any more, or CloseNow gives it up.
func (out *Outbound) writeMark() error {
	n, err := out.dst.TryWrite(endMark[:])
	unknown := err == errors.ErrUnsupported
	if err != stream.ErrInterrupted && !unknown {
		out.countMark(n)
		return out.closeStream()
	}
	closed := make(chan error, 1)
	go func() {
		err := stream.ErrInterrupted
		for n < len(endMark) && err == stream.ErrInterrupted {
			var m int
			m, err = out.writeQuietly(endMark[n:], nil)
			n += m
		}
		out.countMark(n)
		closed <- out.closeStream()
	}()
	if !unknown {
		return nil
	}
	for range markSteps {
		select {
		case err := <-closed:
			return err
		case <-time.After(markStep):
		}
	}
	return nil
}

// How long Close waits for the mark on a stream that doesn't tell whether it has room: most have. It waits in small steps, each of
// which takes longer on a busy machine: there the write does, too.
const (
	markStep  = time.Millisecond
	markSteps = 10
)

func (out *Outbound) countMark(n int) {
	out.mu.Lock()
	out.stats.Writes = out.dst.Calls()
	out.stats.Bytes += uint64(n)
	out.mu.Unlock()
}

// CloseNow closes the stream and answers every call under way with ErrClosed. Behind a Close it gives up the mark, if that
// still waits for room.
func (out *Outbound) CloseNow() error {
	out.mu.Lock()
	if err := out.err; err != nil {
		giveUp := out.writer == ender && !out.ended
		out.mu.Unlock()
		if giveUp {
			_ = out.closeStream()
		}
		return err
	}
	out.shut(ErrClosed)
	writing := out.writer != nobody
	out.unlock()
	if writing { // a stream's own Close may wait for its Write
		_ = out.dst.Interrupt()
	}
	return out.closeStream()
}

func (out *Outbound) closeStream() error {
	err := out.dst.Close()
	out.mu.Lock()
	out.ended = true
	out.unlock()
	return err
}

// WaitEnd waits until the stream is closed: behind Close, for the mark.
func (out *Outbound) WaitEnd(ctx context.Context) error {
	out.mu.Lock()
	defer func() { out.unlock() }()
	return out.wait(ctx, func() bool { return out.ended })
}

// Ended says whether the stream is closed.
func (out *Outbound) Ended() bool {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.ended
}

// BeginFeed counts a native channel whose values are sent until EndFeed: Close waits for it. The channel that it returns is
// closed when the end is being closed or is broken.
func (out *Outbound) BeginFeed(ctx context.Context) (stop <-chan struct{}, err error) {
	ended := ctxErr(ctx)
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

// EndFeed ends what BeginFeed began.
func (out *Outbound) EndFeed() {
	out.mu.Lock()
	out.feeds--
	out.unlock()
}

// Err returns why the end can't be used any more, or nil.
func (out *Outbound) Err() error {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.err
}

// Ending returns why the end takes no more calls.
func (out *Outbound) Ending() error {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.refusal(nil, false)
}

// Stream returns the byte stream.
func (out *Outbound) Stream() io.Closer { return out.stream }

// WriteStats counts what has passed a writing half.
type WriteStats struct {
	Messages uint64 // accepted
	Bytes    uint64 // of their frames, and of the mark
	Writes   uint64 // to the stream
	Queued   int    // bytes still to be written of messages whose calls have returned
	Calls    int    // under way; a native channel counts while one of its values is being sent
}

// Stats returns the counters. It works on a closed end too.
func (out *Outbound) Stats() WriteStats {
	out.mu.Lock()
	defer out.mu.Unlock()
	s := out.stats
	s.Queued, s.Calls = out.accepted(), out.ops
	return s
}
