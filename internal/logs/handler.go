package logs

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/go-gipc/gipc/internal/stream"
)

// Handler is a slog.Handler that sends the records of a child process to its parent. Its methods may be called from any
// number of goroutines at once. Handle waits for room in the pipe for about 10 ms at most, together with the other calls.
type Handler struct {
	to    *sender
	level slog.Level
	attrs []byte // of WithAttrs, encoded, in the groups of WithGroup, which are open
	open  int    // groups
}

// NewHandler makes a handler that writes records from level on to a pipe. The pipe belongs to it.
func NewHandler(pipe io.WriteCloser, level slog.Level) *Handler {
	return &Handler{to: newSender(stream.NewSink(pipe)), level: level}
}

// Enabled says whether records of that level are sent.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// WithAttrs resolves and encodes attrs at once.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		with.attrs = appendAttr(with.attrs, a, h.open)
	}
	return &with
}

// WithGroup opens a group. The names of groups beyond a depth that nobody needs are dropped.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" || h.open == maxNesting {
		return h
	}
	with := *h
	with.attrs = appendGroup(slices.Clip(h.attrs), name)
	with.open++
	return &with
}

// buffers are for encoded records.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled is the most bytes of a buffer that is kept.
const maxPooled = 16 << 10

// Handle sends a record, or drops it where the pipe is full. The error says that the parent is gone.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	buf := buffers.Get().(*[]byte)
	line := appendRecord((*buf)[:0], r, h.attrs, h.open)
	if len(line) > maxLine {
		line = appendShort(line[:0], r, len(line))
	}
	err := h.to.send(line)
	if cap(line) <= maxPooled {
		*buf = line
		buffers.Put(buf)
	}
	return err
}

// Flush waits until the parent is told how many records were dropped, if any were, but not for longer than Handle does. It
// returns false if that is still to be told.
func (h *Handler) Flush() bool { return h.to.flush() }
