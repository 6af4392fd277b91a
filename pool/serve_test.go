package pool

import (
	"context"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// A worker that gets what no pool sends ends, also when a task runs whose goroutine would receive next.
func TestServeEndsAtABadMessage(t *testing.T) {
	for _, perWorker := range []int{1, 2} {
		ctx := test.Context(t)
		raw := &gipc.Options[[]byte]{Codec: gipc.Raw{}}
		mine, theirs, err := gipc.NewDuplex(raw, raw)
		test.Check(t, err)
		t.Cleanup(func() { _, _ = mine.CloseNow(), theirs.CloseNow() })
		runs := make(chan struct{})
		open := func(context.Context) (run, error) {
			return func(ctx context.Context, _ []byte, decoded func(), _ []byte) ([]byte, error) {
				decoded()
				close(runs)
				<-ctx.Done()
				return nil, ctx.Err()
			}, nil
		}
		ended := test.Started(func() error {
			return serve(context.Background(), workerArgs{Tasks: theirs, PerWorker: perWorker}, open)
		})
		_, err = mine.Get(ctx) // it is ready
		test.Check(t, err)
		task := make([]byte, taskHeadSize)
		putTaskHead(task, kindTask, 1, time.Time{})
		test.Check(t, mine.Put(ctx, task))
		<-runs
		test.Check(t, mine.Put(ctx, head(kindReady, 0)))
		select {
		case err := <-ended:
			test.Says(t, err, "unknown kind")
		case <-ctx.Done():
			t.Fatal("it goes on")
		}
	}
}
