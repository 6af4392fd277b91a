package proc

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// MaxTail is how much of a child's stderr is kept for its ExitError, in bytes.
const MaxTail = 16 << 10

// tail passes what is written to it on, and keeps the end of it. When its writer fails it goes on without, because a
// child whose stderr nobody reads would die of it.
type tail struct {
	w       io.Writer
	writing atomic.Bool   // a call of w is under way
	written chan struct{} // holds something when one has returned

	mu    sync.Mutex
	kept  []byte
	cut   bool   // kept has lost its beginning
	fatal []byte // the last line with fatalMark that is kept no more; at most maxFatal bytes
	err   error  // the writer's first
}

func newTail(w io.Writer) *tail { return &tail{w: w, written: make(chan struct{}, 1)} }

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.kept = append(t.kept, p...)
	if n := len(t.kept); n > 2*MaxTail {
		t.keepFatal(n - MaxTail)
		t.kept = append(t.kept[:0], t.kept[n-MaxTail:]...)
	}
	err := t.err
	t.mu.Unlock()
	if err == nil {
		t.writing.Store(true)
		if _, err := t.w.Write(p); err != nil {
			t.mu.Lock()
			t.err = err
			t.mu.Unlock()
		}
		t.writing.Store(false)
		select {
		case t.written <- struct{}{}:
		default:
		}
	}
	return len(p), nil
}

// maxFatal is how much of the text of a fatal error is kept, in bytes.
const maxFatal = 1 << 10

// keepFatal saves the text of a fatal error from the first n bytes of kept, which are about to go. The stacks of all goroutines
// come behind it.
func (t *tail) keepFatal(n int) {
	const mark = "\n" + fatalMark
	at := bytes.LastIndex(t.kept[:min(n+len(mark), len(t.kept))], []byte(mark)) + 1
	if at > 0 || !t.cut && bytes.HasPrefix(t.kept, []byte(fatalMark)) {
		line, _, _ := bytes.Cut(t.kept[at:], []byte("\n"))
		t.fatal = append(t.fatal[:0], line[:min(len(line), maxFatal)]...)
	}
	t.cut = true
}

// crash returns what tells of a fatal error: all that is kept, or the error's text alone if that is no more among it.
func (t *tail) crash() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fatal == nil || bytes.Contains(t.kept, []byte("\n"+fatalMark)) {
		return bytes.Clone(t.kept)
	}
	return bytes.Clone(t.fatal)
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.kept[max(0, len(t.kept)-MaxTail):]...)
}

func (t *tail) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}
