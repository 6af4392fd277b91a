package gipc

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/go-gipc/gipc/internal/codec"
	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/limits"
	"github.com/go-gipc/gipc/internal/remote"
)

// The control channel is two pipes between a parent and its child, with frames of CBOR. The parent sends a hello, then
// the arguments as a frame of their own, then orders; its end of the pipe going away means that the parent is gone. The
// child sends reports.

// hello is what the parent sends first. Its shape must stay readable for other versions of this package: they compare
// the first two fields and refuse.
type hello struct {
	File       string // proc.FileID
	Build      string // proc.BuildID
	Entrypoint string
	Grace      time.Duration // between asking and killing
	Passed     []passedEnd
	FDs        []uint64 // the numbers that the child has for them
	Uses       []int    // see handover
	Log        logPipe
	Limits     *limits.Limits
}

// order is what the parent sends later.
type order struct {
	Run  bool // the entrypoint: comes first, when the child has said that it is ready
	Stop bool
	Ping uint64 // the number of a question: answer with it as Pong; 0: none
}

// report is what the child sends: that it is ready, or why it can't be, signs of life, and finally what its entrypoint
// returned.
type report struct {
	Ready   bool
	Refused refusal
	Text    string // details of the refusal
	Error   []byte // what the entrypoint returned, as package remote encodes it
	Asked   bool   // it was the error of the entrypoint's ctx, which had ended
	Pong    uint64 // the answer to the Ping of that number, and nothing else
	Serving bool   // the entrypoint called Ready, and nothing else
}

type refusal int

const (
	refusedNot refusal = iota
	refusedBuild
	refusedEntrypoint
	refusedArgs
	refusedLimits
)

// control is one process's side of the control channel.
type control struct {
	r *Reader[[]byte]
	w *Writer[[]byte]
}

// newControl makes it, for messages of at most maxReceived bytes towards this process.
func newControl(r, w fd.End, maxReceived int) *control {
	return &control{
		r: newReader[[]byte](r, Options[[]byte]{Codec: Raw{}, MaxMessage: maxReceived}),
		w: newWriter[[]byte](w, Options[[]byte]{Codec: Raw{}, MaxMessage: math.MaxInt}),
	}
}

// A child may be hostile: its parent takes no report above maxReport bytes. The child cuts its texts, which are most of it,
// to maxText, and an error to remote.MaxSize.
const (
	maxReport = 1 << 20
	maxText   = remote.MaxText
)

func (c *control) send(ctx context.Context, message any) error {
	b, err := codec.Append(nil, message)
	if err != nil {
		return err
	}
	return c.w.Put(ctx, b)
}

func (c *control) receive(ctx context.Context, message any) error {
	b, err := c.r.Get(ctx)
	if err != nil {
		return err
	}
	if err := codec.Decode(b, message); err != nil {
		return fmt.Errorf("a message of %d bytes that can't be decoded: %v", len(b), err) // no io.EOF: that is the end of the channel
	}
	return nil
}

func (c *control) close() {
	_ = c.w.CloseNow() // nothing is queued
	_ = c.r.Close()
}
