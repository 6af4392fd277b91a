package wire

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"

	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
)

// Decisions that tests through streams notice only now and then, because the moment at which they matter is short.

// isClosed says whether a channel is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func noRoomKnown() int { return 0 }

func TestCloseTellsOffersThatTheEndIsGone(t *testing.T) {
	var g gate
	gone, err := g.join()
	test.Check(t, err)
	test.Equal(t, isClosed(gone), false)
	test.Check(t, g.shut(ErrClosed, false))
	test.Equal(t, isClosed(gone), true)
}

// The message that Done ends may have been given back while another, larger one was arriving.
func TestDoneKeepsTheMemoryOfAMessageThatIsArriving(t *testing.T) {
	pooled := new([]byte)
	in := &Inbound{large: true, length: 10, pooled: pooled}
	test.Check(t, in.enter(context.Background()))
	in.Done(0)
	test.Equal(t, in.pooled, pooled)
}

// The memory of a message that arrives is doubled, also where twice as much is no int any more.
func TestBodyGrowsUpToItsLengthWhateverThatIs(t *testing.T) {
	for _, c := range [][3]int{ // what has arrived, of what, and the room for it
		{0, 10, 10},
		{0, 1 << 30, stream.ChunkSize},
		{stream.ChunkSize, 1 << 30, 2 * stream.ChunkSize},
		{1 << 28, 1<<30 + 1, 1 << 29},
		{math.MaxInt/2 - 1, math.MaxInt - 1, math.MaxInt - 3},
		{math.MaxInt / 2, math.MaxInt - 1, math.MaxInt - 1},
		{math.MaxInt/2 + 1, math.MaxInt - 1, math.MaxInt - 1},
		{math.MaxInt - 2, math.MaxInt - 1, math.MaxInt - 1},
	} {
		if room := bodyRoom(c[0], c[1]); room != c[2] {
			t.Errorf("%d of %d bytes: room for %d, want %d", c[0], c[1], room, c[2])
		}
	}
}

// writing returns a sending with a frame in its batch that somebody is writing.
func writing(t *testing.T, p *Frame) *sending {
	s := &sending{interruptible: true, crowd: 1}
	test.Equal(t, s.accept(p), lined)
	s.writer = drainer
	test.Equal(t, s.next(noRoomKnown), true)
	return s
}

func TestShutKeepsTheMemoryThatAWriteReads(t *testing.T) {
	p := &Frame{frame: []byte("frame")}
	s := writing(t, p)
	s.shut(ErrClosed)
	test.Equal(t, p.done, false) // its caller would use its memory again
	test.Equal(t, s.batch.buf != nil, true)
	s.advance(0, errors.New("the stream is closed"))
	test.Equal(t, p.done, true)
	test.Is(t, p.err, ErrClosed)
}

// The body of a value that a native channel has taken is the caller's again when the call ends. The value is sent.
func TestFedValueThatWaitsKeepsACopyOfItsBody(t *testing.T) {
	body := []byte("body")
	p := &Frame{frame: []byte("frame "), body: body, Fed: true}
	s := &sending{interruptible: true, writer: drainer}
	test.Equal(t, s.accept(p), lined)
	test.Equal(t, s.leave(p, context.Canceled), true)
	copy(body, "XXXX")
	test.Equal(t, s.next(noRoomKnown), true)
	test.Equal(t, string(s.batch.head)+string(s.batch.body), "frame body")
}

func TestReleasedFrameKeepsACopyOfItsBody(t *testing.T) {
	for _, written := range []int{0, 3} {
		for _, fed := range []bool{true, false} {
			if written == 0 && !fed { // it is taken out
				continue
			}
			body := bytes.Repeat([]byte("b"), 1<<20) // alone in its batch, which refers to it
			p := &Frame{frame: []byte("frame "), body: body, Fed: fed}
			s := writing(t, p)
			test.Equal(t, s.leave(p, context.Canceled), false)
			s.advance(written, nil)
			test.Equal(t, p.done, true)
			clear(body)
			rest := append([]byte("frame "), bytes.Repeat([]byte("b"), 1<<20)...)[written:]
			test.Bytes(t, append(bytes.Clone(s.batch.head), s.batch.body...), rest)
		}
	}
}

// What is queued during a move would be lost with it.
func TestNothingIsQueuedDuringAMove(t *testing.T) {
	s := &sending{buffer: 100, writer: mover, interruptible: true}
	test.Equal(t, s.accept(&Frame{frame: []byte("frame")}), lined)
}

func TestCloseWaitsForFeedsAndTakesTheirValues(t *testing.T) {
	s := &sending{feeds: 1, closing: true}
	test.Equal(t, s.idle(), false)
	test.Check(t, s.refusal(nil, true))
	test.Is(t, s.refusal(nil, false), ErrClosed)
	s.feeds = 0
	test.Equal(t, s.idle(), true)
}

func TestBrokenStreamStopsFeeds(t *testing.T) {
	out := &Outbound{stop: make(chan struct{})}
	stop := out.stop
	out.mu.Lock()
	_ = out.breakOff(errors.New("broken")) // it is what the test asks for
	out.unlock()
	test.Equal(t, isClosed(stop), true)
}

// Bytes that are written can't be lost any more, also if they are those of a frame whose call waits for the rest.
func TestWrittenBytesAreNotCountedAsAccepted(t *testing.T) {
	first, waits := &Frame{frame: []byte("first")}, &Frame{frame: []byte("waits")}
	s := &sending{buffer: 5, interruptible: true, crowd: 1, writer: drainer}
	test.Equal(t, s.accept(first), queued)
	test.Equal(t, s.next(noRoomKnown), true)
	test.Equal(t, s.accepted(), 5)
	s.advance(3, nil)
	test.Equal(t, s.accepted(), 2)
	s.advance(2, nil)
	test.Equal(t, s.accepted(), 0)

	s.buffer = 0
	test.Equal(t, s.accept(waits), lined)
	test.Equal(t, s.next(noRoomKnown), true)
	test.Equal(t, s.accepted(), 0)
	s.advance(2, nil)
	test.Equal(t, s.accepted(), 0)
}

// While the drain goes on, the memory of a large queue is used again; when it ends, it is given up.
func TestLargeQueueUsesItsMemoryAgain(t *testing.T) {
	s := sending{buffer: 300 << 10, interruptible: true, writer: drainer}
	payload := make([]byte, 1000)
	fill := func() {
		for s.enqueuePayload(payload) {
		}
	}
	fill()
	if allocs := testing.AllocsPerRun(20, func() {
		test.Equal(t, s.next(noRoomKnown), true)
		fill()
		s.advance(len(s.batch.head), nil)
	}); allocs > 0 {
		t.Errorf("a batch allocates %v times", allocs)
	}
	test.Equal(t, s.next(noRoomKnown), true)
	s.advance(len(s.batch.head), nil)
	test.Equal(t, s.next(noRoomKnown), false)
	test.Equal(t, s.spare == nil && s.queue == nil && s.batch.buf == nil, true)
}

// The loss of a single byte is that of its message.
func TestEachByteThatIsNotWrittenIsLost(t *testing.T) {
	for written := range 6 {
		s := &sending{buffer: 5, interruptible: true, writer: drainer}
		test.Equal(t, s.accept(&Frame{frame: []byte("first")}), queued)
		test.Equal(t, s.next(noRoomKnown), true)
		s.advance(written, nil)
		test.Is(t, s.breakOff(ErrPeerClosed), ErrPeerClosed)
		test.Equal(t, s.lost, written < 5)
	}
}

// The stream surely takes so much: what is behind it would wait, and keep the frames before it waiting.
func TestBatchHasNoMoreThanThereIsRoomFor(t *testing.T) {
	for waiting := 1; waiting <= 4; waiting++ {
		for room := range 4 * len("frame") {
			s := &sending{writer: drainer}
			for range waiting {
				test.Equal(t, s.accept(&Frame{frame: []byte("frame")}), lined)
			}
			test.Equal(t, s.next(func() int { return room }), true)
			test.Equal(t, len(s.batch.frames), min(waiting, max(1, room/len("frame")))) // the first goes in any case
		}
	}
}

// gated is a stream whose every Write waits for leave.
type gated struct{ began, leave chan struct{} }

func (g gated) Write(p []byte) (int, error) {
	g.began <- struct{}{}
	<-g.leave
	return len(p), nil
}

func (gated) Close() error { return nil }

// Flush returns when its batch is written, though the drain goes on with the next one.
func TestFlushDoesNotWaitForTheNextBatch(t *testing.T) {
	test.Bounded(t)
	ctx := t.Context()
	g := gated{make(chan struct{}), make(chan struct{})}
	out := NewOutbound(g, Options{Buffer: 100, MaxMessage: 100})
	put := func() {
		p := NewFrame()
		p.SetPayload([]byte("text"), copyLimit)
		test.Check(t, out.Send(ctx, p))
	}
	put()
	<-g.began
	flushed := make(chan error)
	go func() { flushed <- out.Flush(ctx) }()
	test.Eventually(t, "Flush waits", func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		return len(out.waiters) == 1
	})
	put()
	g.leave <- struct{}{}
	<-g.began // the next batch is being written
	test.Check(t, <-flushed)
	g.leave <- struct{}{}
	test.Check(t, out.Close(true))
}
