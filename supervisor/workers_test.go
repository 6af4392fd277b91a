package supervisor

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// dispatcher hands numbered jobs to whoever asks, and again those that were not acknowledged.
type dispatcher struct {
	mu     sync.Mutex
	next   int
	failed []int
	acked  map[int]int
	stop   bool
	open   int // handed out, neither acknowledged nor failed
}

// take returns a job, or false when there are no more.
func (d *dispatcher) take() (job int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.failed); n > 0 {
		job, d.failed = d.failed[n-1], d.failed[:n-1]
	} else if d.stop {
		return 0, false
	} else {
		job, d.next = d.next, d.next+1
	}
	d.open++
	return job, true
}

func (d *dispatcher) settle(job int, acked bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if acked {
		d.acked[job]++
	} else {
		d.failed = append(d.failed, job)
	}
}

// feed streams jobs to one incarnation until it is gone, or there are no more.
func (d *dispatcher) feed(ctx context.Context, worker *gipc.Duplex[int, int]) {
	defer worker.Close() // a worker that still lives ends well
	for ctx.Err() == nil {
		job, ok := d.take()
		if !ok {
			return
		}
		err := worker.Put(ctx, job)
		var got int
		if err == nil {
			got, err = worker.Get(ctx)
		}
		d.settle(job, err == nil && got == job)
		if err != nil {
			return
		}
	}
}

// Each of eight workers is killed at random while jobs stream through them. At the end every job is done, none was
// acknowledged twice, and nothing is left.
func TestSupervisedWorkersKilledAtRandom(t *testing.T) {
	duration := 20 * time.Second
	if testing.Short() {
		duration = 2 * time.Second
	}
	fds, goroutines := test.OpenDescriptors(t), runtime.NumGoroutine()
	const workers = 8
	d := &dispatcher{acked: map[int]int{}}
	var feeders sync.WaitGroup
	s, log := superviseIt(t, Options{
		MaxRestarts: math.MaxInt, Backoff: Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond},
	})
	for range workers {
		test.Check(t, s.Start(Child(entryAck, func(ctx context.Context) (*gipc.Duplex[int, int], error) {
			mine, theirs, err := gipc.NewDuplex[int, int](nil, nil)
			if err == nil {
				feeders.Go(func() { d.feed(ctx, mine) })
			}
			return theirs, err
		}, &ChildOptions{Restart: Transient}))) // a worker without jobs ends well
	}

	killed := map[int]bool{}
	perName := map[string]int{}
	end := time.After(duration)
	for running := true; running; {
		if victims := slices.DeleteFunc(s.Children(), func(c ChildStatus) bool {
			return c.State != ChildRunning || killed[c.PID]
		}); len(victims) > 0 {
			victim := victims[rand.IntN(len(victims))]
			killed[victim.PID] = true
			perName[victim.Name]++
			sendSignal(t, victim.PID, os.Kill)
		}
		select {
		case <-time.After(rand.N(40 * time.Millisecond)):
		case <-end:
			running = len(perName) < workers // slow machines take longer to get at each
			end = time.After(duration)
		}
	}
	d.mu.Lock()
	d.stop = true
	d.mu.Unlock()
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	feeders.Wait()

	for job := range d.next {
		if d.acked[job] != 1 {
			t.Errorf("job %d was acknowledged %d times", job, d.acked[job])
		}
	}
	if len(d.failed) > 0 || d.open > 0 || len(perName) != workers {
		t.Errorf("%d jobs are left, %d open; killed: %v", len(d.failed), d.open, perName)
	}
	t.Logf("%d jobs, %d kills %v, %d restarts", d.next, len(killed), perName, log.count(EventRestarting))
	noMoreThan(t, "descriptors", fds, func() int { return test.OpenDescriptors(t) })
	noMoreThan(t, "goroutines", goroutines, runtime.NumGoroutine)
}
