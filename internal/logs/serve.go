package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	afterEnd = 2 * time.Second        // from the child's end until the handler isn't waited for any more
	restTime = 100 * time.Millisecond // in which what a pipe holds can be read
)

// droppedKey is the attribute that says how many records were dropped.
const droppedKey = "dropped"

// Pipe is the end that is read from.
type Pipe interface {
	io.ReadCloser
	SetReadDeadline(t time.Time) error
}

// Source is where the records of a child come from.
type Source struct {
	Pipe   Pipe            // is closed
	Served context.Context // ends when what is still to come is given up: something else may hold the pipe open
	Exited <-chan struct{} // closed when the child has ended
	Attrs  []slog.Attr     // added to each record
}

// Serve starts, in group, what passes records on to a handler, until the child's end. Then the handler has two seconds for
// those that wait. The handler gets ctx, and is called by one goroutine. If it panics, that record is lost, and the group's error
// has the first panic.
func Serve(ctx context.Context, group *errgroup.Group, from Source, to slog.Handler) {
	p := &passing{ctx: ctx, from: from, to: to, queue: newQueue(), passed: make(chan struct{})}
	group.Go(p.read)
	go p.passAll() // the handler may block for ever
	group.Go(p.wait)
}

// passing passes on the records of one child.
type passing struct {
	ctx    context.Context
	from   Source
	to     slog.Handler
	queue  *queue
	passed chan struct{} // closed when the handler won't be called any more

	taken   bool // there was rubbish in the queue; owned by read
	added   bool // to has from.Attrs; owned by passAll, as the next
	rubbish bool // there was some, and the handler was told

	mu  sync.Mutex
	err error // the handler's first panic
}

// read reads all that comes, whatever the handler does.
func (p *passing) read() error {
	pipe := p.from.Pipe
	defer pipe.Close()
	defer p.queue.end()
	defer context.AfterFunc(p.from.Served, func() { _ = pipe.SetReadDeadline(time.Now()) })()
	lines := splitter{add: p.take}
	err := lines.readFrom(pipe)
	if errors.Is(err, os.ErrDeadlineExceeded) { // what has come until then, too
		_ = pipe.SetReadDeadline(time.Now().Add(restTime))
		err = lines.readFrom(pipe)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// take queues a line. Of those that are no JSON objects one is enough, to be reported.
func (p *passing) take(line []byte) {
	if line[0] != '{' {
		if p.taken {
			return
		}
		p.taken = true
	}
	p.queue.add(line)
}

// wait waits until all is passed on, or the handler has had its time.
func (p *passing) wait() error {
	select {
	case <-p.passed:
		return p.failure()
	case <-p.from.Exited:
	}
	const steps = 20
	ticker := time.NewTicker(afterEnd / steps) // if this process stands still, that costs the handler a step or two
	defer ticker.Stop()
	for range steps {
		select {
		case <-p.passed:
			return p.failure()
		case <-ticker.C:
		}
	}
	p.queue.drop()
	return p.failure()
}

// passAll passes records on until the end. If the handler ends its goroutine, the others are dropped.
func (p *passing) passAll() {
	defer close(p.passed)
	defer p.queue.drop()
	for {
		e, ok := p.queue.next()
		if !ok {
			return
		}
		p.pass(p.record(e))
	}
}

// record makes a record of what was waiting; nil if there is nothing to say.
func (p *passing) record(e entry) *slog.Record {
	if e.line == nil {
		return warning("log records of this process were dropped: the handler of its Logger did not keep up", slog.Int64(droppedKey, e.dropped))
	}
	r, err := parse(e.line)
	switch {
	case err == nil:
		return &r
	case p.rubbish:
		return nil
	}
	p.rubbish = true
	return warning("this process wrote what is no record where its log records go: such lines are dropped")
}

func warning(message string, attrs ...slog.Attr) *slog.Record {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, message, 0)
	r.AddAttrs(attrs...)
	return &r
}

// pass calls the handler.
func (p *passing) pass(r *slog.Record) {
	if r == nil {
		return
	}
	returned := false
	defer func() {
		if v := recover(); v != nil {
			p.fail(fmt.Errorf("the handler of SpawnOptions.Logger panicked: %v\n\n%s", v, debug.Stack()))
		} else if !returned {
			p.fail(errors.New("the handler of SpawnOptions.Logger called runtime.Goexit"))
		}
	}()
	if !p.added {
		p.to, p.added = p.to.WithAttrs(p.from.Attrs), true
	}
	if p.to.Enabled(p.ctx, r.Level) {
		_ = p.to.Handle(p.ctx, *r) // as slog.Logger does
	}
	returned = true
}

func (p *passing) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *passing) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
