//go:build unix

package logs

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// A record that fits into the pipe in part is finished before anything else is written.
func TestARecordIsNeverTorn(t *testing.T) {
	test.Bounded(t)
	r, w := newPipe(t)
	h := NewHandler(w, slog.LevelInfo)
	long := strings.Repeat("x", maxLine-1000)
	l := slog.New(h)
	l.Info(long) // more than the pipe holds
	l.Info("dropped")
	var got recorder
	s := &serving{t: t, in: w, exited: make(chan struct{})}
	Serve(t.Context(), &s.group, Source{Pipe: r, Served: t.Context(), Exited: s.exited}, &got)
	test.Eventually(t, "the parent is told", func() bool { return len(got.got()) == 2 })
	l.Info(long)
	test.Check(t, s.end())
	messages, dropped := got.messages()
	if dropped != 1 || !slices.Equal(messages, []string{long, long}) {
		t.Errorf("%d messages, %d dropped", len(messages), dropped)
	}
}
