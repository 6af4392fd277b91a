package logs

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// newPipe returns a pipe that is closed with the test.
func newPipe(t testing.TB) (r, w fd.End) {
	t.Helper()
	r, w, err := fd.NewPipe(0)
	test.Check(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.Close() }) // the test may have closed them
	return r, w
}

// serving is a child's log that a test serves, without a child.
type serving struct {
	t      testing.TB
	in     fd.End // what the child writes to
	exited chan struct{}
	group  errgroup.Group
}

// serve passes on to a handler what is written to the in of what it returns.
func serve(t testing.TB, to slog.Handler, attrs ...slog.Attr) *serving {
	t.Helper()
	r, w := newPipe(t)
	s := &serving{t: t, in: w, exited: make(chan struct{})}
	Serve(t.Context(), &s.group, Source{Pipe: r, Served: context.Background(), Exited: s.exited, Attrs: attrs}, to)
	return s
}

// write writes as a child that is hostile, or crashes.
func (s *serving) write(text string) {
	s.t.Helper()
	_, err := s.in.Write([]byte(text))
	test.Check(s.t, err)
}

// exit lets the child end.
func (s *serving) exit() {
	s.t.Helper()
	test.Check(s.t, s.in.Close())
	close(s.exited)
}

func (s *serving) end() error {
	s.t.Helper()
	s.exit()
	return s.group.Wait()
}

// recorder is a handler that keeps what it gets.
type recorder struct {
	mu      sync.Mutex
	records []slog.Record
	gate    chan struct{} // not nil: each call waits until it is closed
	called  chan struct{} // not nil: gets something when a call begins
}

func (*recorder) Enabled(context.Context, slog.Level) bool { return true }

func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	if r.called != nil {
		select {
		case r.called <- struct{}{}:
		default:
		}
	}
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, record)
	return nil
}

func (r *recorder) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r *recorder) WithGroup(string) slog.Handler      { return r }

func (r *recorder) got() []slog.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records)
}

// messages returns the messages of the records, and the sum of those that were dropped.
func (r *recorder) messages() (messages []string, dropped int) {
	for _, record := range r.got() {
		isCount := false
		record.Attrs(func(a slog.Attr) bool {
			if a.Key == droppedKey {
				isCount = true
				dropped += int(a.Value.Int64())
			}
			return true
		})
		if !isCount {
			messages = append(messages, record.Message)
		}
	}
	return messages, dropped
}

// carried returns what a handler makes of the records that log makes, when they have gone from a child to its parent.
func carried(t testing.TB, log func(*slog.Logger), to func(*bytes.Buffer) slog.Handler) string {
	t.Helper()
	var out bytes.Buffer
	s := serve(t, to(&out))
	log(slog.New(NewHandler(s.in, slog.LevelDebug)))
	test.Check(t, s.end())
	return out.String()
}

func withoutSource(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.SourceKey {
		return slog.Attr{}
	}
	return a
}

func asJSON(out *bytes.Buffer) slog.Handler {
	return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutSource})
}

func asText(out *bytes.Buffer) slog.Handler {
	return slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutSource})
}

// recordAt is a record that is the same each time.
func recordAt(message string, attrs ...slog.Attr) slog.Record {
	r := slog.NewRecord(time.Date(2026, 3, 4, 5, 6, 7, 89, time.FixedZone("", 3600)), slog.LevelInfo, message, 0)
	r.AddAttrs(attrs...)
	return r
}

func lineOf(r slog.Record) string { return string(appendRecord(nil, r, nil, 0)) }
