package rivals

import (
	"context"
	"errors"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// Gipc's rows differ in their options alone.
var (
	put      = &Gipc{name: "gipc", about: "Put returns when the message is in the pipe; structs by CBOR"}
	buffered = &Gipc{name: "gipc, Buffer", about: "Options.Buffer of 64 KiB; structs by CBOR", buffer: 64 << 10}
	shared   = &Gipc{name: "gipc, Shared", about: "Options.Shared of 1 MiB; structs by CBOR", shared: 1 << 20}
)

// Gipc is this repository's library, with some options.
type Gipc struct {
	name, about    string
	buffer, shared int // options, in bytes
}

// Name implements work.Rival.
func (g *Gipc) Name() string { return g.name }

// About implements work.Rival.
func (g *Gipc) About() string { return g.about }

// Version implements work.Rival.
func (g *Gipc) Version() string { return "this tree" }

// Open implements work.Rival.
func (g *Gipc) Open(w work.Workload) (work.Session, error) {
	switch {
	case w.Codecs:
		return nil, work.ErrNotOffered
	case w.Kind == work.Struct:
		return Open(w, recordChild, options[record.Record](g, nil), work.RecordShape)
	case w.Kind == work.Stream, w.Kind == work.Echo:
		return Open(w, rawChild, options[[]byte](g, gipc.Raw{}), work.RawShape(w.Size))
	case w.Kind == work.Spawn && g == put:
		return work.Turns(spawnOnce), nil
	}
	return nil, work.ErrNotOffered
}

func options[T any](g *Gipc, codec gipc.Codec[T]) *gipc.Options[T] {
	return &gipc.Options[T]{Codec: codec, Buffer: g.buffer, Shared: g.shared}
}

// Args are those of a child that serves a channel.
type Args[T any] struct {
	Work   work.Workload
	Duplex *gipc.Duplex[T, T]
}

// Serve registers a child that serves channels of one type.
func Serve[T any](name string, shape func(work.Workload) work.Shape[T]) *gipc.Entrypoint[Args[T]] {
	return gipc.Register(name, func(ctx context.Context, a Args[T]) error {
		return endOK(work.Serve(a.Work, &duplexConn[T]{ctx, a.Duplex}, shape(a.Work)))
	})
}

var (
	rawChild    = Serve("bytes", func(w work.Workload) work.Shape[[]byte] { return work.RawShape(w.Size) })
	recordChild = Serve("records", func(work.Workload) work.Shape[record.Record] { return work.RecordShape })
	onceChild   = gipc.Register("once", func(ctx context.Context, d *gipc.Duplex[[]byte, []byte]) error {
		v, err := d.Get(ctx)
		if err != nil {
			return err
		}
		return d.Put(ctx, v)
	})
)

// Open is a channel to a child of Serve.
func Open[T any](w work.Workload, e *gipc.Entrypoint[Args[T]], opts *gipc.Options[T], shape work.Shape[T]) (work.Session, error) {
	ctx := context.Background()
	mine, theirs, err := gipc.NewDuplex(opts, opts)
	if err != nil {
		return nil, err
	}
	p, err := gipc.Spawn(ctx, e, Args[T]{w, theirs}, nil)
	if err != nil {
		return nil, errors.Join(err, mine.CloseNow(), theirs.CloseNow())
	}
	s := work.NewSession(w, &duplexConn[T]{ctx, mine}, shape)
	return work.Closing(s, func() error { return p.Wait(ctx) }), nil
}

// duplexConn is a Duplex of one type. Every method may be called from several goroutines.
type duplexConn[T any] struct {
	ctx context.Context
	d   *gipc.Duplex[T, T]
}

func (c *duplexConn[T]) Send(v T) error  { return c.d.Put(c.ctx, v) }
func (c *duplexConn[T]) Recv(v *T) error { return c.d.GetInto(c.ctx, v) }
func (c *duplexConn[T]) Close() error    { return c.d.Close() }

func spawnOnce() (err error) {
	ctx := context.Background()
	opts := &gipc.Options[[]byte]{Codec: gipc.Raw{}}
	mine, theirs, err := gipc.NewDuplex(opts, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mine.CloseNow()) }()
	p, err := gipc.Spawn(ctx, onceChild, theirs, nil)
	if err != nil {
		return errors.Join(err, theirs.CloseNow())
	}
	if err := mine.Put(ctx, []byte("one message")); err != nil {
		return err
	}
	if _, err := mine.Get(ctx); err != nil {
		return err
	}
	return p.Wait(ctx)
}
