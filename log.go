package gipc

import (
	"context"
	"log/slog"

	"github.com/go-gipc/gipc/internal/logs"
	"github.com/go-gipc/gipc/internal/proc"
)

// logPipe tells a child of the pipe for its log records.
type logPipe struct {
	Number uint64 // of its descriptor or handle; 0: there is none
	Level  int    // the lowest to send
}

// lowestLevel asks the handler of a Logger, if there is one.
func lowestLevel(ctx context.Context, l *slog.Logger) int {
	if l == nil {
		return 0
	}
	return int(logs.Lowest(ctx, l.Handler()))
}

// serveLog passes on what the child logs.
func (p *Process) serveLog(ctx context.Context, to *slog.Logger) {
	from := logs.Source{
		Pipe: p.child.Log, Served: p.child.Served(), Exited: p.child.Exited(),
		Attrs: []slog.Attr{slog.String("child", p.name), slog.Int("pid", p.child.PID())},
	}
	logs.Serve(context.WithoutCancel(ctx), &p.group, from, to.Handler())
}

// forwardLog makes this process, a child, log to its parent.
func (c *childSide) forwardLog(l logPipe) error {
	if l.Number == 0 {
		return nil
	}
	end, err := proc.OpenLog(l.Number)
	if err != nil {
		return err
	}
	c.log = logs.NewHandler(end, slog.Level(l.Level))
	slog.SetDefault(slog.New(c.log))
	return nil
}
