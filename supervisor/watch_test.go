package supervisor

import (
	"testing"
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
