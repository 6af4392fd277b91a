package proc

import (
	"io"
	"sync"
)

// MaxTail is how much of a child's stderr is kept for its ExitError, in bytes.
const MaxTail = 16 << 10

// tail passes what is written to it on, and keeps the end of it. When its writer fails it goes on without, because a
// child whose stderr nobody reads would die of it.
type tail struct {
	w       io.Writer
	written chan struct{} // holds something when a call of w has returned

	mu   sync.Mutex
	kept []byte
	err  error // the writer's first
}

func newTail(w io.Writer) *tail { return &tail{w: w, written: make(chan struct{}, 1)} }

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.kept = append(t.kept, p...)
	if n := len(t.kept); n > 2*MaxTail {
		t.kept = append(t.kept[:0], t.kept[n-MaxTail:]...)
	}
	err := t.err
	t.mu.Unlock()
	if err == nil {
		if _, err := t.w.Write(p); err != nil {
			t.mu.Lock()
			t.err = err
			t.mu.Unlock()
		}
		select {
		case t.written <- struct{}{}:
		default:
		}
	}
	return len(p), nil
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
