package stream

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// pumpSource reads a stream without deadlines. A goroutine of its own sits in each Read, so that a Get can leave when its
// ctx ends; what that Read brings in later goes to the next Get. There is at most one, and it ends with its Read.
type pumpSource struct {
	stream io.ReadCloser

	// Used only by the goroutine inside read, as are the fields of what it receives from results.
	results chan pumped   // nil until the first read
	kicked  chan struct{} // interrupt
	once    sync.Once     // makes both
	waiting bool          // a Read is under way
	busy    bool          // the last Read filled its chunk: there may be more
	got     pumped        // received, not yet read out
}

// pumped is what one Read returned.
type pumped struct {
	chunk []byte // borrowed
	data  []byte // part of chunk that is not read out
	full  bool   // it filled the chunk
	err   error
}

func (s *pumpSource) init() {
	s.once.Do(func() {
		s.results, s.kicked = make(chan pumped, 1), make(chan struct{}, 1)
	})
}

func (s *pumpSource) Read(ctx context.Context, mem Lender) (int, error) {
	s.init()
	if len(s.got.data) == 0 && s.got.err == nil {
		if !s.waiting {
			s.waiting = true
			go s.pump(s.busy && mem.Amid())
		}
		select {
		case s.got = <-s.results:
			s.waiting, s.busy = false, s.got.full
		case <-ctx.Done():
			return 0, ErrInterrupted
		case <-s.kicked:
			return 0, ErrInterrupted
		}
	}
	if len(s.got.data) == 0 {
		err := s.got.err
		s.got = pumped{}
		if isSignal(err) {
			err = ErrInterrupted
		}
		return 0, err
	}
	n := copy(mem.Lend(false), s.got.data)
	s.got.data = s.got.data[n:]
	if len(s.got.data) == 0 && s.got.chunk != nil {
		ReturnChunk(s.got.chunk)
		s.got.chunk, s.got.data = nil, nil
	}
	return n, nil
}

// pump reads into a small chunk, which is held for as long as nothing comes, or into a large one where many bytes are bound
// to.
func (s *pumpSource) pump(many bool) {
	borrow := BorrowSmallChunk
	if many {
		borrow = BorrowChunk
	}
	chunk := borrow()
	room := chunk[:min(len(chunk), ChunkSize)]
	n, err := s.stream.Read(room)
	if n < 0 || n > len(room) {
		n, err = 0, fmt.Errorf("the stream's Read of %d bytes returned %d", len(room), n)
	}
	result := pumped{chunk: chunk, data: chunk[:n], full: n == len(room), err: err}
	if n == 0 {
		ReturnChunk(chunk)
		result.chunk, result.data = nil, nil
	}
	s.results <- result
}

func (s *pumpSource) Interrupt() {
	s.init()
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

func (s *pumpSource) Settled() bool {
	s.init()
	if s.waiting && len(s.results) > 0 {
		s.got, s.waiting = <-s.results, false
		s.busy = s.got.full
	}
	return !s.waiting
}

func (s *pumpSource) Leftover() []byte { return s.got.data }

func (s *pumpSource) Close() error {
	s.Interrupt() // a stream's Close need not wake its Read, and may wait for it
	return s.stream.Close()
}

func (s *pumpSource) HasDeadlines() bool { return false }
