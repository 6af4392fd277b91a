package wire

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/go-gipc/gipc/internal/stream"
)

// Inbound is the reading half of an end: it turns a byte stream into whole payloads. Its methods may be called from any
// number of goroutines at once.
//
// Fields without a comment are owned by the goroutine that holds the gate, and by one that holds mu while nobody is inside. Bytes that have been read are in at most one of two
// places: chunk[start:end], which may hold several frames, or body, the first part of a message too long for a chunk.
type Inbound struct {
	gate
	stream io.Closer
	src    stream.Source
	opts   Options

	chunk      []byte // borrowed; nil while nothing is in flight
	start, end int

	large  bool    // the next message is gathered in body
	length int     // of the message in body
	body   []byte  // what has arrived of it
	lent   bool    // body may be the caller's memory, his again when his call returns
	pooled *[]byte // where body came from, and goes back to

	skip uint64 // bytes of a refused message that are still to be dropped

	fate   error // io.EOF, io.ErrUnexpectedEOF or what wraps it, or ErrFrame: nothing follows any more
	marked bool  // by a mark

	calls uint64 // reads of src
	taken uint64 // messages taken from the stream
	seq   uint64 // which of them next has returned

	hasUnread atomic.Bool   // whether there may be any in unread, or in offers
	unread    []unread      // guarded by mu: messages given back, which come before anything else
	offers    []*Offers     // guarded by mu
	answered  chan struct{} // guarded by mu: closed when one of offers has ended; made by the first who waits
	moving    bool          // guarded by mu: Spawn is inside
	stats     ReadStats     // guarded by mu
}

// NewInbound returns the reading half over the byte stream r, which belongs to it from here on.
func NewInbound(r io.ReadCloser, opts Options) *Inbound {
	return InboundOver(r, stream.NewSource(r), opts)
}

// InboundOver does so with a Source. What is closed with it is s.
func InboundOver(s io.Closer, src stream.Source, opts Options) *Inbound {
	return &Inbound{stream: s, src: src, opts: opts}
}

// maxEmptyReads is how often in a row a stream may return nothing and no error, before it counts as broken.
const maxEmptyReads = 100

// Next waits for the next message and returns its payload. The caller may use it, and stays inside the gate, until Done.
// An error ends the call by itself.
func (in *Inbound) Next(ctx context.Context) ([]byte, error) {
	return in.open(ctx, nil)
}

// NextInto waits for the next message and frames its payload into *dst, in the memory that is there if it is enough.
func (in *Inbound) NextInto(ctx context.Context, dst *[]byte) error {
	_ = *dst // a nil pointer panics before it can leave the gate shut
	if in.copyNow(ctx, dst) {
		return nil
	}
	payload, err := in.open(ctx, dst)
	if err != nil {
		return err
	}
	if !in.lent {
		if *dst == nil {
			*dst = make([]byte, 0, len(payload))
		}
		payload = append((*dst)[:0], payload...)
	}
	in.lent = false
	*dst = payload
	in.Done(len(payload))
	return nil
}

// maxCopiedNow is how large a payload may be that is copied under mu: other calls wait for no longer than some 100 ns.
const maxCopiedNow = 4 << 10

// copyNow does all that NextInto has to, under mu, where nobody is inside and a small message is in the chunk. Otherwise it does
// nothing, and returns false.
func (in *Inbound) copyNow(ctx context.Context, dst *[]byte) bool {
	if ctxErr(ctx) != nil {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil || in.held || in.skip > 0 || in.large || in.hasUnread.Load() {
		return false
	}
	size, length, err := parseHeader(in.chunk[in.start:in.end])
	if err != nil || size == 0 || length > maxCopiedNow || length > uint64(in.opts.MaxMessage) {
		return false
	}
	at := in.start + size
	end := at + int(length)
	if end > in.end {
		return false
	}
	in.start = end
	in.taken++
	in.seq = in.taken
	if *dst == nil {
		*dst = make([]byte, 0, length)
	}
	*dst = append((*dst)[:0], in.chunk[at:end]...)
	in.release()
	in.count(int(length))
	return true
}

func (in *Inbound) open(ctx context.Context, dst *[]byte) (payload []byte, err error) {
	if err := in.enter(ctx); err != nil {
		return nil, err
	}
	err = stream.ErrPanicked
	defer func() {
		if err != nil {
			in.giveUp(err)
		}
	}()
	payload, err = in.receive(ctx, dst)
	return payload, err
}

// giveUp ends what Next began and has failed.
func (in *Inbound) giveUp(err error) {
	if err == stream.ErrPanicked {
		in.fate = err // nobody knows where the stream stands
	}
	in.keepBody()
	in.release()
	in.mu.Lock()
	in.stats.Reads = in.calls
	in.leaveLocked()
	in.mu.Unlock()
}

// Done ends what Next began, for a payload of n bytes.
func (in *Inbound) Done(n int) {
	if in.pooled != nil && !in.large {
		in.returnBody()
	}
	in.release()
	in.mu.Lock()
	in.count(n)
	in.leaveLocked()
	in.mu.Unlock()
}

// count counts a message of n bytes, under mu.
func (in *Inbound) count(n int) {
	in.stats.Messages++
	in.stats.Bytes += uint64(n)
	in.stats.Reads = in.calls
}

func (in *Inbound) receive(ctx context.Context, dst *[]byte) ([]byte, error) {
	for empty := 0; ; {
		if in.hasUnread.Load() {
			payload, there, err := in.takeUnread(ctx)
			if there {
				in.keepBody()
			}
			if there || err != nil {
				return payload, err
			}
		}
		if payload, err := in.take(dst); payload != nil || err != nil {
			in.taken++
			in.seq = in.taken
			return payload, err
		}
		if in.fate != nil {
			return nil, in.fate
		}
		n, err := in.src.Read(ctx, (*lending)(in))
		in.calls++
		switch {
		case n > 0:
			in.arrived(n)
			empty = 0
		case err == stream.ErrInterrupted:
			if err := in.interrupted(ctx); err != nil {
				return nil, err
			}
		case err == nil:
			if empty++; empty == maxEmptyReads {
				return nil, io.ErrNoProgress
			}
		default:
			if err := in.ended(err); err != nil {
				return nil, err
			}
		}
	}
}

// take returns the next payload if all of it has arrived, else nil. A payload of no bytes isn't nil.
func (in *Inbound) take(dst *[]byte) ([]byte, error) {
	if in.skip > 0 {
		return nil, nil
	}
	if in.large {
		if len(in.body) < in.length {
			return nil, nil
		}
		payload := in.body
		in.large, in.body = false, nil
		return payload, nil
	}
	size, length, err := parseHeader(in.chunk[in.start:in.end])
	switch {
	case err == errEndMark && in.opts.EndMark:
		in.takeMark()
		return nil, io.EOF
	case err != nil:
		in.fate = ErrFrame
		in.start = in.end
		return nil, ErrFrame
	case size == 0:
		return nil, nil
	case length > uint64(in.opts.MaxMessage):
		in.start += size
		in.skip = length
		in.dropSkipped()
		return nil, &SizeError{Size: length, Limit: in.opts.MaxMessage}
	}
	n := int(length)
	if n <= in.end-in.start-size {
		at := in.start + size
		in.start = at + n
		return in.chunk[at:in.start:in.start], nil
	}
	if n > stream.ChunkSize-size {
		in.start += size
		in.beginBody(n, dst)
	}
	return nil, nil
}

// takeMark takes note of the mark of the end. What follows it is never read.
func (in *Inbound) takeMark() {
	in.fate, in.marked = io.EOF, true
	in.start = in.end
	in.release()
	if in.opts.Grows {
		stream.Shrink(in.stream)
	}
}

// arrived takes note of n bytes that were read into what lend returned.
func (in *Inbound) arrived(n int) {
	if in.large {
		in.body = in.body[:len(in.body)+n]
		return
	}
	in.end += n
	in.dropSkipped()
}

func (in *Inbound) dropSkipped() {
	n := min(in.skip, uint64(in.end-in.start))
	in.start += int(n)
	in.skip -= n
}

// interrupted returns why a call that was woken must not go on.
func (in *Inbound) interrupted(ctx context.Context) error {
	if err := in.closed(); err != nil {
		return err
	}
	return ctx.Err()
}

// ended turns the stream's error into the reader's. It returns nil where it has set fate.
func (in *Inbound) ended(err error) error {
	if closed := in.closed(); closed != nil {
		return closed
	}
	if errors.Is(err, stream.ErrNonsense) {
		in.fate = ErrFrame
		return nil
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case in.large || in.skip > 0 || in.start < in.end:
		in.fate = io.ErrUnexpectedEOF
	case in.opts.EndMark:
		in.fate = errUnmarked
	default:
		in.fate = io.EOF
	}
	return nil
}
