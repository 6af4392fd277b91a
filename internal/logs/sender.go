package logs

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-gipc/gipc/internal/stream"
)

// patience is how long a pipe must be full before records are dropped.
const (
	patience = 10 * time.Millisecond
	step     = time.Millisecond
)

// patienceAtEnd is how long a process that ends waits until its parent is told of dropped records.
const patienceAtEnd = 10 * patience

// sender writes lines to a pipe. Whoever holds the lock writes, for patience at most while nobody reads. While the pipe is
// full, a goroutine waits for room in place of the calls, and it alone writes.
type sender struct {
	pipe  stream.Sink
	tells bool // the pipe tells how much room it has

	mu      sync.Mutex
	room    chan struct{} // not nil: the pipe is full; closed when there is room
	dropped int           // records of which the parent is not told yet
	gone    error         // the parent is gone
}

func newSender(pipe stream.Sink) *sender { return &sender{pipe: pipe, tells: pipe.Room() > 0} }

func (s *sender) send(line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != nil {
		return s.gone
	}
	if s.room != nil {
		s.dropped++
		return nil
	}
	rest, err := s.write(line)
	switch {
	case err != nil:
		s.gone = err
	case len(rest) > 0:
		if len(rest) == len(line) {
			s.dropped, rest = s.dropped+1, nil
		}
		s.room = make(chan struct{})
		go s.awaitRoom(slices.Clone(rest))
	}
	return err
}

// awaitRoom writes the rest of a line and waits for room. Then it tells how many records were dropped, and lets others write.
func (s *sender) awaitRoom(rest []byte) {
	for done := false; !done; {
		if len(rest) == 0 {
			rest = []byte("\n") // an empty line, which is no record
		}
		err := s.writeAll(rest)
		rest, done = s.tell(err)
	}
}

// tell returns what is left to be written before others may write, or that they may.
func (s *sender) tell(err error) (rest []byte, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.dropped > 0 {
		line := droppedLine(s.dropped)
		rest, err = s.write(line)
		if err == nil && len(rest) == len(line) {
			return nil, false
		}
		s.dropped = 0
		if err == nil && len(rest) > 0 {
			return rest, false
		}
	}
	s.gone = err
	close(s.room)
	s.room = nil
	return nil, true
}

const droppedText = "log records of this process were dropped: its parent did not read them in time"

func droppedLine(n int) []byte {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, droppedText, 0)
	r.AddAttrs(slog.Int(droppedKey, n))
	return appendRecord(nil, r, nil, 0)
}

// recordsIn returns how many records are missing without a line: one, or those that it says were dropped. The line may come from
// a hostile process: so many that no sum overflows.
func recordsIn(line []byte) (n int64) {
	if !bytes.Contains(line, []byte(droppedText)) { // most: parsing takes long
		return 1
	}
	if r, err := parse(line); err == nil && r.Message == droppedText {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == droppedKey && a.Value.Kind() == slog.KindInt64 {
				n = min(a.Value.Int64(), math.MaxInt32)
			}
			return true
		})
	}
	return max(n, 1)
}

// writeAll blocks until everything is in the pipe.
func (s *sender) writeAll(p []byte) error {
	for len(p) > 0 {
		n, err := s.pipe.Write(context.Background(), p, nil)
		if err != nil && !isFull(err) {
			return err
		}
		p = p[n:]
	}
	return nil
}

// write writes a line. It returns what it could not write since the pipe was full for as long as patience.
func (s *sender) write(line []byte) (rest []byte, err error) {
	n, err := s.pipe.TryWrite(line)
	rest = line[n:]
	if len(rest) == 0 || !isFull(err) {
		return rest, err
	}
	for len(rest) > 0 {
		if n, err = s.writeSome(rest); n == 0 || err != nil {
			return rest, err
		}
		rest = rest[n:]
	}
	return nil, nil
}

// writeSome writes what it can, and waits for room for as long as patience. It waits in small steps, each of which takes longer
// on a busy machine: a parent that waits for a processor, as this process does, is not taken for one that doesn't read.
func (s *sender) writeSome(p []byte) (n int, err error) {
	for range patience / step {
		if n, err = s.writeWithin(step, p); n > 0 || !isFull(err) {
			break
		}
	}
	if isFull(err) {
		err = nil
	}
	return n, err
}

// writeWithin writes until it is done or so much time is over.
func (s *sender) writeWithin(d time.Duration, p []byte) (n int, err error) {
	if s.tells && s.pipe.Room() < len(p) { // on Windows: a write that has begun couldn't be interrupted
		time.Sleep(d)
		return 0, stream.ErrInterrupted
	}
	ctx, cancel := context.WithTimeout(context.Background(), d) // an Interrupt might come before the write, and be lost
	defer cancel()
	for {
		n, err = s.pipe.Write(ctx, p, nil)
		if n > 0 || !isFull(err) || ctx.Err() != nil { // else a call before was interrupted too late
			return n, err
		}
	}
}

// isFull says whether a write's error means that there was no room: the call before may have been interrupted too late.
func isFull(err error) bool {
	return errors.Is(err, stream.ErrInterrupted) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrDeadlineExceeded)
}

// flush waits for patienceAtEnd at most until no records are dropped any more.
func (s *sender) flush() (told bool) {
	s.mu.Lock()
	room := s.room
	s.mu.Unlock()
	if room == nil {
		return true
	}
	select {
	case <-room:
		return true
	case <-time.After(patienceAtEnd):
		return false
	}
}
