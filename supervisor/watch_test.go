package supervisor

import (
	"runtime"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// A parent that stood still finds both: that the time is over, and that the child has become ready.
func TestReadyInTimeCountsThoughItIsSeenLate(t *testing.T) {
	for range 20 {
		f := &fakeChild{done: make(chan struct{}), killed: make(chan error, 1), serving: make(chan struct{})}
		close(f.serving)
		w := watch{child: f, wait: 1, ready: func() { close(f.done) }}
		go func() { // a child that is killed ends, too
			if err := <-f.killed; err != nil {
				f.err = err
				close(f.done)
			}
		}()
		if err := w.run(); err != nil {
			t.Fatal(err)
		}
		f.killed <- nil
	}
}

// A child that reports only when it is about to be killed is late.
func TestReadyBehindTheKillIsLate(t *testing.T) {
	for range 20 {
		f := &fakeChild{done: make(chan struct{}), killed: make(chan error, 1), serving: make(chan struct{})}
		w := watch{child: f, wait: 1, ready: func() { t.Error("it counts as ready") }}
		go func() {
			f.err = <-f.killed
			close(f.serving)
			for range 100 {
				runtime.Gosched() // whoever waits for it sees that first
			}
			close(f.done)
		}()
		test.Is(t, w.run(), gipc.ErrNotReady)
	}
}
