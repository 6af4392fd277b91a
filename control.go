package gipc

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/limits"
	"github.com/go-gipc/gipc/internal/pack"
	"github.com/go-gipc/gipc/internal/remote"
)

// The control channel is two pipes between a parent and its child, with frames that package pack makes. The parent sends a
// hello, then the arguments as a frame of their own, then orders; its end of the pipe going away means that the parent is gone.
// The child sends reports.

// hello is what the parent sends first. Its first two fields must stay where they are: other versions of this package, which
// may have others behind them, compare these two and refuse.
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

func (h *hello) Fields(f *pack.Fields) {
	pack.Text(f, &h.File)
	pack.Text(f, &h.Build)
	pack.Text(f, &h.Entrypoint)
	pack.Int(f, &h.Grace)
	pack.List(f, &h.Passed, func(p *passedEnd) { p.fields(f) })
	pack.List(f, &h.FDs, func(n *uint64) { pack.Uint(f, n) })
	pack.List(f, &h.Uses, func(n *int) { pack.Int(f, n) })
	pack.Uint(f, &h.Log.Number)
	pack.Int(f, &h.Log.Level)
	limited := h.Limits != nil
	pack.Bool(f, &limited)
	if limited {
		h.limits(f)
	}
}

func (h *hello) limits(f *pack.Fields) {
	if h.Limits == nil {
		h.Limits = new(limits.Limits)
	}
	l := h.Limits
	pack.Int(f, &l.Memory)
	pack.Int(f, &l.CPU)
	pack.Int(f, &l.Files)
	pack.Int(f, &l.Processes)
	pack.Int(f, &l.FileSize)
	pack.Bool(f, &l.NoCore)
	pack.Text(f, &l.Cgroup)
}

func (p *passedEnd) fields(f *pack.Fields) {
	pack.Int(f, &p.Kind)
	pack.Text(f, &p.Codec)
	pack.Text(f, &p.Name)
	pack.Bool(f, &p.Shared)
	s := &p.State
	pack.Int(f, &s.MaxMessage)
	pack.Int(f, &s.Buffer)
	pack.Bool(f, &s.Grows)
	pack.Bool(f, &s.EndMark)
	pack.Bool(f, &s.NonBlocking)
	pack.List(f, &s.GivenBack, func(payload *[]byte) { pack.Text(f, payload) })
	pack.Uint(f, &s.Skip)
	pack.Text(f, &s.Unread)
	pack.Bool(f, &s.Ended)
}

// order is what the parent sends later.
type order struct {
	Run  bool // the entrypoint: comes first, when the child has said that it is ready
	Stop bool
	Ping uint64 // the number of a question: answer with it as Pong; 0: none
}

func (o *order) Fields(f *pack.Fields) {
	pack.Bool(f, &o.Run)
	pack.Bool(f, &o.Stop)
	pack.Uint(f, &o.Ping)
}

// report is what the child sends: that it is ready, or why it can't be, signs of life, and finally what its entrypoint
// returned.
type report struct {
	Ready   bool
	Refused refusal
	Text    string // details of the refusal
	Error   []byte // what the entrypoint returned, if not nil, as package remote encodes it
	Asked   bool   // it was the error of the entrypoint's ctx, which had ended
	Pong    uint64 // the answer to the Ping of that number, and nothing else
	Serving bool   // the entrypoint called Ready, and nothing else
}

func (r *report) Fields(f *pack.Fields) {
	pack.Bool(f, &r.Ready)
	pack.Int(f, &r.Refused)
	pack.Text(f, &r.Text)
	pack.Text(f, &r.Error)
	pack.Bool(f, &r.Asked)
	pack.Uint(f, &r.Pong)
	pack.Bool(f, &r.Serving)
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

func (c *control) send(ctx context.Context, m pack.Message) error {
	return c.w.Put(ctx, pack.Append(nil, m))
}

func (c *control) receive(ctx context.Context, m pack.Message) error {
	b, err := c.r.Get(ctx)
	if err != nil {
		return err
	}
	if err := pack.Parse(b, m); err != nil {
		return fmt.Errorf("a message of %d bytes that can't be decoded: %v", len(b), err) // no io.EOF: that is the end of the channel
	}
	return nil
}

func (c *control) close() {
	_ = c.w.CloseNow() // nothing is queued
	_ = c.r.Close()
}
