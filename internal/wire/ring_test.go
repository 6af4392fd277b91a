package wire

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/go-gipc/gipc/internal/ring"
	"github.com/go-gipc/gipc/internal/test"
)

// A ring in shared memory among the byte streams that the tests run over.

// ringReader is a ring's reading end as a byte stream.
type ringReader struct{ src *ring.Source }

func (r ringReader) Read(p []byte) (int, error) { return r.src.Read(context.Background(), lent(p)) }
func (r ringReader) Close() error               { return r.src.Close() }

// lent is memory that a call reads into.
type lent []byte

func (p lent) Lend(bool) []byte { return p }
func (lent) Unlend()            {}
func (lent) Amid() bool         { return false }

type ringWriter struct{ dst *ring.Sink }

func (w ringWriter) Write(p []byte) (int, error) { return w.dst.Write(context.Background(), p, nil) }
func (w ringWriter) Close() error                { return w.dst.Close() }

func newInbound(r io.ReadCloser, opts Options) *Inbound {
	if s, ok := r.(ringReader); ok {
		return InboundOver(s.src, s.src, opts)
	}
	return NewInbound(r, opts)
}

func newOutbound(w io.WriteCloser, opts Options) *Outbound {
	if s, ok := w.(ringWriter); ok {
		return OutboundOver(s.dst, s.dst, opts)
	}
	return NewOutbound(w, opts)
}

// ringStreams are none where the system has no memory to share.
func ringStreams() (all []byteStream) {
	r, w, err := ring.New(1)
	if err != nil {
		return nil
	}
	_, _ = r.Close(), w.Close()
	for _, pages := range []int{1, 16} {
		all = append(all, byteStream{fmt.Sprintf("ring of %d pages", pages), 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
			r, w, err := ring.New(pages * pageSize)
			test.Check(t, err)
			return ringReader{r}, ringWriter{w}
		}})
	}
	return all
}
