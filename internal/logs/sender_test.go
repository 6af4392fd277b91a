package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
)

// fill logs until records are dropped, and returns how many it has logged. No byte more has room then: the record that tells of
// those that were dropped is shorter than others.
func fill(t testing.TB, h *Handler) (n int) {
	t.Helper()
	test.SkipUnderWine(t, "its pipes don't tell how much room they have")
	l := slog.New(h)
	for ; n < 100; n++ {
		l.Info(fmt.Sprint("record ", n))
	}
	for padding := []byte(strings.Repeat("\n", 4096)); len(padding) > 0; { // empty lines, which are no records
		if _, err := h.to.pipe.TryWrite(padding); err != nil {
			padding = padding[:len(padding)/2]
		}
	}
	for ; ; n++ {
		h.to.mu.Lock()
		full := h.to.room != nil
		h.to.mu.Unlock()
		if full {
			return n
		}
		l.Info(fmt.Sprint("record ", n))
	}
}

// isNumbered fails the test unless the messages have numbers that grow, from 0 to before.
func isNumbered(t testing.TB, messages []string, before int) {
	t.Helper()
	last := -1
	for _, m := range messages {
		var n int
		if _, err := fmt.Sscanf(m, "record %d", &n); err != nil || n <= last || n >= before {
			t.Fatalf("%q behind record %d", m, last)
		}
		last = n
	}
}

func TestAFullPipeHoldsUpNobody(t *testing.T) {
	test.Bounded(t)
	r, w := newPipe(t)
	h := NewHandler(w, slog.LevelInfo)
	n := fill(t, h)
	const more = 20_000
	began := time.Now()
	for i := range more {
		slog.New(h).Info(fmt.Sprint("record ", n+i))
	}
	if took := time.Since(began); took > more*patience/10 {
		t.Errorf("%d calls took %v", more, took)
	}

	var got recorder
	s := &serving{t: t, in: w, exited: make(chan struct{})}
	Serve(t.Context(), &s.group, Source{Pipe: r, Served: t.Context(), Exited: s.exited}, &got)
	test.Eventually(t, "the parent is told of the dropped records", func() bool { _, dropped := got.messages(); return dropped > 0 })
	slog.New(h).Info(fmt.Sprint("record ", n+more)) // there is room
	test.Check(t, s.end())
	messages, dropped := got.messages()
	isNumbered(t, messages, n+more+1)
	if len(messages)+dropped != n+more+1 || dropped < more || messages[len(messages)-1] != fmt.Sprint("record ", n+more) {
		t.Errorf("%d records arrived and %d were dropped, of %d", len(messages), dropped, n+more+1)
	}
	test.Equal(t, len(got.got()), len(messages)+1) // one record tells of all
}

func TestFlushTellsOfDroppedRecords(t *testing.T) {
	test.Bounded(t)
	r, w := newPipe(t)
	h := NewHandler(w, slog.LevelInfo)
	test.Equal(t, h.Flush(), true)
	n := fill(t, h)
	test.Equal(t, h.Flush(), false)
	text := test.Started(func() string { b, _ := io.ReadAll(r); return string(b) })
	test.Eventually(t, "there is room", h.Flush)
	test.Check(t, w.Close())
	lines := strings.Split(strings.TrimSpace(<-text), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" })
	if last := lines[len(lines)-1]; len(lines) != n || !strings.Contains(last, `"k":"dropped","t":"i","v":1}`) {
		t.Errorf("%d lines for %d records, the last: %s", len(lines), n, last)
	}
}

// measured is a pipe that tells how much room it has, and that no write may overfill: it could not be taken back.
type measured struct {
	stream.Sink
	mu       sync.Mutex
	room     int
	text     []byte
	overfull bool
}

func (m *measured) Room() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.room
}

func (m *measured) Write(_ context.Context, p, _ []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.overfull = m.overfull || len(p) > m.room
	m.text = append(m.text, p...)
	return len(p), nil
}

func (m *measured) TryWrite(p []byte) (int, error) {
	if m.Room() < len(p) {
		return 0, errors.ErrUnsupported
	}
	return m.Write(context.Background(), p, nil)
}

func (m *measured) Interrupt() bool { return false }

func TestNoRecordIsBegunThatFindsNoRoom(t *testing.T) {
	test.Bounded(t)
	m := &measured{room: 10}
	h := &Handler{to: newSender(m)}
	for range 3 {
		test.Check(t, h.Handle(t.Context(), recordAt("dropped")))
	}
	m.mu.Lock()
	m.room = maxLine
	m.mu.Unlock()
	test.Eventually(t, "there is room", h.Flush)
	test.Check(t, h.Handle(t.Context(), recordAt("last")))
	m.mu.Lock()
	defer m.mu.Unlock()
	lines := strings.Fields(string(m.text))
	if m.overfull || !strings.Contains(string(m.text), `"k":"dropped","t":"i","v":3}`) || !strings.Contains(lines[len(lines)-1], `"msg":"last"`) {
		t.Errorf("overfull: %v\n%s", m.overfull, m.text)
	}
}

func TestRecordsOfManyGoroutinesArriveWhole(t *testing.T) {
	test.Bounded(t)
	var got recorder
	s := serve(t, &got)
	l := slog.New(NewHandler(s.in, slog.LevelInfo))
	const goroutines, each = 8, 500
	var logging sync.WaitGroup
	for g := range goroutines {
		logging.Go(func() {
			for i := range each {
				l.Info(strings.Repeat(fmt.Sprint(g), 1+i*20), "goroutine", g, "i", i)
			}
		})
	}
	logging.Wait()
	test.Eventually(t, "the parent is told of dropped records", l.Handler().(*Handler).Flush)
	test.Check(t, s.end())
	var messages []string
	test.Eventually(t, "all are counted", func() bool { // where too many waited, they are after the end
		arrived, dropped := got.messages()
		messages = arrived
		return len(arrived)+dropped == goroutines*each
	})
	for _, m := range messages {
		if strings.Trim(m, m[:1]) != "" {
			t.Fatalf("torn: %.100s", m)
		}
	}
}

func TestAParentThatIsGoneIsAnError(t *testing.T) {
	test.Bounded(t)
	r, w := newPipe(t)
	h := NewHandler(w, slog.LevelInfo)
	fill(t, h)
	test.Check(t, r.Close()) // while the pipe is full
	test.Eventually(t, "an error", func() bool { return h.Handle(t.Context(), recordAt("m")) != nil })

	r, w = newPipe(t)
	h = NewHandler(w, slog.LevelInfo)
	test.Check(t, r.Close())
	for range 2 {
		if h.Handle(t.Context(), recordAt("m")) == nil {
			t.Error("no error")
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	r, w := newPipe(b)
	go func() { _, _ = io.Copy(io.Discard, r) }()
	l := slog.New(NewHandler(w, slog.LevelInfo)).With("service", "resize")
	b.ReportAllocs()
	for b.Loop() {
		l.Info("a picture was resized", "width", 640, "took", time.Second)
	}
	test.Check(b, w.Close())
}
