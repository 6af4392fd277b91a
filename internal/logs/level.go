package logs

import (
	"context"
	"log/slog"
	"math"
)

// Levels that a handler is asked for: those around slog's own.
const (
	leastAsked = -64
	mostAsked  = 64
)

// Lowest returns the lowest level for which a handler is enabled, by asking it. It returns a lower one where that is not among
// the levels asked for: the handler is asked again for each record.
func Lowest(ctx context.Context, h slog.Handler) slog.Level {
	if h.Enabled(ctx, leastAsked) {
		return math.MinInt
	}
	for level := slog.Level(leastAsked); level <= mostAsked; level++ {
		if h.Enabled(ctx, level) {
			return level
		}
	}
	return mostAsked + 1
}
