package wire

import (
	"context"
	"io"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/stream"
)

// Options are those of a half.
type Options struct {
	MaxMessage int  // bytes of a payload: a greater one is refused by the writing half, and skipped by the reading half
	Buffer     int  // bytes of frames that the writing half may queue; 0: none
	Grows      bool // the stream is a pipe that gets more room when it is used for large messages
	EndMark    bool // the stream ends with a mark; without it, its end is io.ErrUnexpectedEOF
}

// State is what a half takes along when it moves to another process, besides its descriptor.
type State struct {
	Options
	NonBlocking bool // the descriptor has deadlines

	// What a reading half must do before it reads from the descriptor, in this order.
	GivenBack [][]byte // messages that were offered and not accepted
	Skip      uint64   // bytes of a refused message to drop
	Unread    []byte   // read and not delivered
	Ended     bool     // the mark of the end was read
}

// BeginMove keeps everybody from the half, until AbandonMove or FinishMove. It fails if a call is under way.
func (in *Inbound) BeginMove(context.Context) error {
	if err := in.tryEnter(); err != nil {
		return err
	}
	if in.fate == ErrFrame || !in.src.Settled() {
		defer in.leave()
		if in.fate == ErrFrame {
			return ErrFrame
		}
		return ErrLocked
	}
	in.mu.Lock()
	in.moving = true
	in.mu.Unlock()
	return nil
}

// AbandonMove lets calls go on as if nothing had been.
func (in *Inbound) AbandonMove() {
	in.mu.Lock()
	in.moving = false
	in.leaveLocked()
	in.mu.Unlock()
}

// FinishMove closes the half here. Later calls return err.
func (in *Inbound) FinishMove(err error) error {
	in.mu.Lock()
	in.moving = false
	in.mu.Unlock()
	if err := in.shut(err, false); err != nil {
		return err
	}
	in.release()
	return in.src.Close()
}

// IsMoving says whether a move has begun and not ended.
func (in *Inbound) IsMoving() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.moving
}

// State renders what has been read and not delivered as the bytes that it came as, but for messages given back:
// the rest of a refused message may lie between those and these bytes. It is for between BeginMove and its end.
func (in *Inbound) State() State {
	var unread []byte
	if in.large {
		unread = append(appendHeader(unread, in.length), in.body...)
	}
	unread = append(unread, in.chunk[in.start:in.end]...)
	unread = append(unread, in.src.Leftover()...)
	var givenBack [][]byte
	in.mu.Lock()
	for _, u := range in.unread {
		givenBack = append(givenBack, u.payload)
	}
	in.mu.Unlock()
	return State{
		Options: in.opts, NonBlocking: in.src.HasDeadlines() && fd.DeadlinesTravel(in.stream),
		GivenBack: givenBack, Skip: in.skip, Unread: unread, Ended: in.marked,
	}
}

// ResumeInbound returns the half that State described, over its descriptor in this process.
func ResumeInbound(r io.ReadCloser, s State) *Inbound {
	return NewInbound(r, s.Options).resume(s)
}

// ResumeInboundOver does so with a Source.
func ResumeInboundOver(closer io.Closer, src stream.Source, s State) *Inbound {
	return InboundOver(closer, src, s.Options).resume(s)
}

func (in *Inbound) resume(s State) *Inbound {
	for _, payload := range s.GivenBack {
		in.taken++
		in.unread = append(in.unread, unread{in.taken, payload})
	}
	in.hasUnread.Store(len(in.unread) > 0)
	in.skip = s.Skip
	if len(s.Unread) > 0 {
		in.src = stream.Seeded(in.src, s.Unread)
	}
	if s.Ended {
		in.takeMark()
	}
	return in
}

// ResumeOutbound does so with a writing half.
func ResumeOutbound(w io.WriteCloser, s State) *Outbound {
	return NewOutbound(w, s.Options)
}

// ResumeOutboundOver does so with a Sink of ours.
func ResumeOutboundOver(closer io.Closer, dst stream.Sink, s State) *Outbound {
	return OutboundOver(closer, dst, s.Options)
}

// IsMoving says whether a move has begun and not ended.
func (out *Outbound) IsMoving() bool {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.writer == mover
}

// State is for between BeginMove and its end.
func (out *Outbound) State() State { return State{Options: out.opts, NonBlocking: out.interruptible} }

// BeginMove keeps everybody from writing. It waits until what was accepted is written, and fails if a call is under way.
func (out *Outbound) BeginMove(ctx context.Context) error {
	ended := ctxErr(ctx)
	out.mu.Lock()
	defer func() { out.unlock() }()
	for {
		if err := out.movable(ended); err != nil {
			return err
		}
		if out.idle() {
			out.writer = mover
			return nil
		}
		if err := out.wait(ctx, func() bool { return out.idle() || out.movable(nil) != nil }); err != nil {
			return err
		}
	}
}

// movable says why a move can't begin, now or when all is written. Two moves of the same ends that waited for each other
// would wait for ever.
func (s *sending) movable(ended error) error {
	if err := s.refusal(ended, false); err != nil {
		return err
	}
	if s.ops > 0 || s.feeds > 0 || s.writer == mover {
		return ErrLocked
	}
	return nil
}

// AbandonMove lets calls go on as if nothing had been.
func (out *Outbound) AbandonMove() {
	out.mu.Lock()
	out.writer = nobody
	out.unlock()
}

// FinishMove closes the half here. Later calls return err.
func (out *Outbound) FinishMove(err error) error {
	out.mu.Lock()
	out.writer = nobody
	out.shut(err)
	out.unlock()
	return out.closeStream()
}
