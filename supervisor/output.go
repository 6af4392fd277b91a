package supervisor

import (
	"io"
	"os"
	"reflect"
	"sync"

	"github.com/go-gipc/gipc"
)

// serialize makes the output of a child that is about to be added safe for what else writes there: children that have the same
// writer, as those of one ChildSpec do, and this child's incarnation before, if that left a Write behind which blocks.
func (l *loop) serialize(o *gipc.SpawnOptions) {
	o.Stdout = l.serialized(o.Stdout, o)
	o.Stderr = l.serialized(o.Stderr, o)
}

// serialized returns a writer that writes to w. It is the same one for the same w, in o and in the options of other children.
func (l *loop) serialized(w io.Writer, o *gipc.SpawnOptions) io.Writer {
	if _, isFile := w.(*os.File); w == nil || isFile {
		return w
	}
	if !reflect.ValueOf(w).Comparable() {
		return &lockedWriter{mu: &l.incomparable, w: w}
	}
	if found := find(w, o); found != nil {
		return found
	}
	for _, c := range l.children {
		if found := find(w, &c.spec.spawn); found != nil {
			return found
		}
	}
	return &lockedWriter{mu: new(sync.Mutex), w: w, comparable: true}
}

// find returns the writer in o that writes to w, or nil.
func find(w io.Writer, o *gipc.SpawnOptions) io.Writer {
	for _, known := range [...]io.Writer{o.Stdout, o.Stderr} {
		if locked, ok := known.(*lockedWriter); ok && locked.comparable && locked.w == w {
			return locked
		}
	}
	return nil
}

// lockedWriter is a writer for several goroutines.
type lockedWriter struct {
	mu         *sync.Mutex
	w          io.Writer
	comparable bool // w
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
