// Package rivals has gipc, the floors and the Go libraries that move messages between processes, one a file.
package rivals

import (
	"io"
	"os"

	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// All is every rival of this package, in the order of the tables.
func All() []work.Rival {
	return []work.Rival{
		floorA, floorD,
		put, buffered, shared,
		gobPipe, jsonPipe, cborPipe,
		netRPC{}, grpcRival{}, ttrpcRival{}, goPlugin{}, shmipcRival{},
		execOnce{},
	}
}

// chunk is the size of the floors' buffers, that of a Linux pipe.
const chunk = 64 << 10

// links makes the Conns of a library whose messages go through two pipes. nil: it doesn't carry such messages.
type links struct {
	name, about string
	module      string                            // "": the standard library
	shape       func(size int) work.Shape[[]byte] // nil: work.RawShape
	raw         func(r io.ReadCloser, w io.WriteCloser) work.Conn[[]byte]
	record      func(r io.ReadCloser, w io.WriteCloser) work.Conn[record.Record]
	locked      bool // Send may be called from several goroutines
}

func (l *links) Name() string    { return l.name }
func (l *links) About() string   { return l.about }
func (l *links) Version() string { return work.Version(l.module) }

// register makes the child known, and returns l.
func (l links) register() *links {
	work.RegisterChild(l.name, func(w work.Workload, in, out *os.File) error {
		if w.Kind == work.Struct {
			return work.Serve(w, l.record(in, out), work.RecordShape)
		}
		return work.Serve(w, l.raw(in, out), l.rawShape(w.Size))
	})
	return &l
}

func (l *links) Open(w work.Workload) (work.Session, error) {
	switch {
	case w.Codecs:
		return nil, work.ErrNotOffered
	case w.Kind == work.Struct && l.record != nil:
		return openLink(l, w, l.record, work.RecordShape)
	case w.Kind == work.Stream, w.Kind == work.Echo:
		return openLink(l, w, l.raw, l.rawShape(w.Size))
	}
	return nil, work.ErrNotOffered
}

func (l *links) rawShape(size int) work.Shape[[]byte] {
	if l.shape == nil {
		return work.RawShape(size)
	}
	return l.shape(size)
}

func openLink[T any](l *links, w work.Workload, link func(io.ReadCloser, io.WriteCloser) work.Conn[T], shape work.Shape[T]) (work.Session, error) {
	child, err := work.StartChild(l.name, w)
	if err != nil {
		return nil, err
	}
	c := link(child.In, child.Out)
	if w.Senders > 1 && !l.locked {
		c = work.Locked(c)
	}
	return work.Closing(work.NewSession(w, c, shape), child.Close), nil
}
