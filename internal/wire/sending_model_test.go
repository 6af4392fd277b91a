package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/go-gipc/gipc/internal/stream"
)

// The state of a writing half is checked against what it promises, over every sequence of some events: what was accepted
// arrives whole and in order or its loss is reported, every call is answered, and when nothing is left to do the state says
// so. Writes take a byte, a half or all of what they are given.

const modelDepth = 6

// events are what may happen to a writing half, each for the part of it that the event concerns.
var events = map[byte]func(m *model){
	'p': func(m *model) { m.send(6, false) },
	'b': func(m *model) { m.send(30, false) }, // more than the buffer takes
	'f': func(m *model) { m.send(6, true) },
	'1': func(m *model) { m.write(1, nil) },
	'a': func(m *model) { m.write(1000, nil) },
	'i': func(m *model) { m.write(1, stream.ErrInterrupted) },
	'x': func(m *model) { m.write(0, errTorn) },
	'l': func(m *model) { m.leave(0) },
	'L': func(m *model) { m.leave(1) },
	'c': func(m *model) { m.closing = true },
	'n': func(m *model) { m.closeNow() },
	'm': func(m *model) { m.move() },
}

var errTorn = errors.New("torn")

// model is a sending with what is around it: frames with their calls, and the bytes that were written.
type model struct {
	sending
	t      *testing.T
	trace  []byte
	sent   []*modelled
	stream bytes.Buffer
	alone  *modelled // its call writes it
	torn   bool
}

// modelled is a frame and what became of its call.
type modelled struct {
	*Frame
	content []byte
	left    []byte // of a frame that is written alone
	over    bool   // the call has returned
	result  error
}

func TestEverySequenceOfEventsKeepsWhatIsPromised(t *testing.T) {
	for _, c := range []struct {
		name          string
		buffer        int
		interruptible bool
		crowd         int
		events        string
	}{
		{"alone", 0, true, 0, "pf1ail"},
		{"in line", 0, true, crowdMemory, "pf1ailL"},
		{"with a buffer", 16, true, 0, "pb1ail"},
		{"without deadlines", 0, false, 0, "pf1alL"},
		{"ending", 16, true, 0, "pf1ixcn"},
		{"moving", 16, true, 0, "pf1ilm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			depth := modelDepth
			if testing.Short() {
				depth--
			}
			trace := make([]byte, 0, depth)
			var walk func()
			walk = func() {
				m := &model{t: t, sending: sending{buffer: c.buffer, interruptible: c.interruptible, crowd: c.crowd}}
				for _, e := range trace {
					m.trace = append(m.trace, e)
					events[e](m)
					m.settle()
				}
				m.finishAll()
				if len(trace) == depth {
					return
				}
				for i := range len(c.events) {
					trace = append(trace, c.events[i])
					walk()
					trace = trace[:len(trace)-1]
				}
			}
			walk()
		})
	}
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("after %q: %s", m.trace, fmt.Sprintf(format, args...))
}

func (m *model) send(size int, fed bool) {
	content := appendFrame(nil, bytes.Repeat([]byte{byte('A' + len(m.sent))}, size))
	f := &modelled{Frame: &Frame{frame: content, Fed: fed}, content: content}
	if m.refusal(nil, fed) != nil {
		return
	}
	m.sent = append(m.sent, f)
	switch m.accept(f.Frame) {
	case queued:
		f.over = true
	case alone:
		m.alone, f.left = f, content
	}
}

// write is a step of whoever writes. Where nobody has to, it does nothing.
func (m *model) write(most int, err error) {
	if m.torn {
		most, err = 0, errTorn
	}
	if f := m.alone; f != nil {
		n := min(most, len(f.left))
		m.stream.Write(f.left[:n])
		f.left = f.left[n:]
		if err == nil && len(f.left) > 0 {
			return // a short write of a stream that goes on
		}
		m.alone, f.over = nil, true
		f.result = m.wroteAlone(f.Frame, f.left, nil, err, context.Canceled)
		m.torn = m.torn || err == errTorn && len(f.left) > 0
		return
	}
	if m.writer != drainer || !m.next(func() int { return 1000 }) {
		return
	}
	rest := append(bytes.Clone(m.batch.head), m.batch.body...)
	n := min(most, len(rest))
	m.stream.Write(rest[:n])
	m.torn = m.torn || err == errTorn
	m.advance(n, err)
	if m.broken == nil {
		m.next(func() int { return 1000 })
	}
}

// leave ends the ctx of the i-th call that waits, in line or in a batch.
func (m *model) leave(i int) {
	for _, f := range m.sent {
		if f == m.alone || f.over || f.done {
			continue
		}
		if i--; i >= 0 {
			continue
		}
		if !m.sending.leave(f.Frame, context.Canceled) && !m.interruptible {
			m.abandon(f.Frame)
		}
		return
	}
}

func (m *model) closeNow() {
	if m.err == nil {
		m.shut(ErrClosed)
		m.torn = true // the stream is closed
	}
}

// move begins a move, or abandons the one that has begun.
func (m *model) move() {
	switch {
	case m.writer == mover:
		m.writer = nobody
	case m.movable(nil) == nil && m.idle():
		m.writer = mover
	}
}

// settle does what unlock does, and notes the calls that have returned.
func (m *model) settle() {
	if m.due() {
		m.writer = drainer
	}
	for _, f := range m.sent {
		if f.done && !f.over {
			f.over, f.result = true, f.err
		}
	}
}

// finishAll lets all be written, and checks what has become of it.
func (m *model) finishAll() {
	if m.writer == mover {
		m.move()
		m.settle()
	}
	for i := 0; m.writer != nobody; i++ {
		if i > 100 {
			m.fail("the writer doesn't end: %+v", m.sending)
		}
		m.write(1000, nil)
		m.settle()
	}
	if m.ops != 0 {
		m.fail("%d calls are not answered", m.ops)
	}
	if !m.idle() {
		m.fail("nobody writes, and it isn't idle")
	}
	m.checkStream()
}

// checkStream: whole frames in the order of their calls, but for a cut at the end of a broken stream.
func (m *model) checkStream() {
	rest := m.stream.Bytes()
	broken := m.err != nil || m.broken != nil
	for _, f := range m.sent {
		whole := bytes.HasPrefix(rest, f.content)
		partly := len(rest) > 0 && bytes.HasPrefix(f.content, rest)
		switch {
		case whole:
			rest = rest[len(f.content):]
		case broken && partly:
			rest = nil
		}
		switch {
		case !f.over:
			m.fail("a call has not returned")
		case f.result == nil && !whole && !m.lost:
			m.fail("a message is lost, and nobody knows")
		case errors.Is(f.result, ErrPartial) && !whole && !m.lost:
			m.fail("a message that will still arrive does not")
		case f.result == context.Canceled && f.Fed != whole && !m.lost:
			m.fail("a cancelled message: sent %v, from a native channel %v", whole, f.Fed)
		}
	}
	if len(rest) > 0 {
		m.fail("the stream holds %q besides", rest)
	}
}
