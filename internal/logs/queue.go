package logs

import "sync"

// maxWaiting is how much waits for the parent's handler at most, in bytes: of lines, and of what it takes to keep each.
const (
	maxWaiting = 8 << 20
	perLine    = 64
)

// entry is a line, or how many were dropped in its place.
type entry struct {
	line    []byte
	dropped int64
}

// queue holds what waits for the handler. Its methods may be called from any goroutine.
type queue struct {
	mu      sync.Mutex
	some    sync.Cond // signalled when next may return
	waiting []entry
	size    int
	ended   bool // nothing more comes
	cut     bool // what still comes is dropped without a word
}

func newQueue() *queue {
	q := new(queue)
	q.some.L = &q.mu
	return q
}

// add appends a line, which becomes the queue's. It drops the line where too much waits.
func (q *queue) add(line []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cut {
		return
	}
	if size := cap(line) + perLine; q.size+size <= maxWaiting {
		q.size += size
		q.waiting = append(q.waiting, entry{line: line})
	} else if last := &q.waiting[len(q.waiting)-1]; last.line == nil {
		last.dropped += recordsIn(line)
	} else {
		q.waiting = append(q.waiting, entry{dropped: recordsIn(line)})
	}
	q.some.Signal()
}

// end says that nothing more will be added.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.some.Signal()
}

// drop drops all that waits, and counts it in one entry. Nothing can be added any more.
func (q *queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	dropped := int64(0)
	for _, e := range q.waiting {
		dropped += e.dropped
		if e.line != nil {
			dropped += recordsIn(e.line)
		}
	}
	q.waiting, q.size = nil, 0
	if dropped > 0 {
		q.waiting = []entry{{dropped: dropped}}
	}
	q.ended, q.cut = true, true
	q.some.Signal()
}

// next waits for an entry, and takes it out. It returns false at the end.
func (q *queue) next() (e entry, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.ended {
		q.some.Wait()
	}
	if len(q.waiting) == 0 {
		return entry{}, false
	}
	e, q.waiting[0] = q.waiting[0], entry{}
	q.waiting = q.waiting[1:]
	if e.line != nil {
		q.size -= cap(e.line) + perLine
	}
	return e, true
}
