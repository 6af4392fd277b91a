package proc

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// watchedPipe makes a pipe that w watches, and tells called of a call.
func watchedPipe(t *testing.T, w *watcher, called chan<- int, i int) (in, out *os.File, key uint64) {
	t.Helper()
	in, out, err := os.Pipe()
	test.Check(t, err)
	t.Cleanup(func() { _, _ = in.Close(), out.Close() }) // the test may have closed them
	key, err = w.add(fd.Number(in), func() { called <- i })
	test.Check(t, err)
	return in, out, key
}

func fill(t *testing.T, out *os.File) {
	t.Helper()
	_, err := out.WriteString("x")
	test.Check(t, err)
}

func TestWatcherCallsOnceForEach(t *testing.T) {
	test.Bounded(t)
	var w watcher
	const n = 100 // more than one wait returns
	called := make(chan int, 2*n)
	var outs []*os.File
	for i := range n {
		_, out, _ := watchedPipe(t, &w, called, i)
		outs = append(outs, out)
	}
	seen := map[int]bool{}
	for range 2 { // what has been called is not called again
		for _, out := range outs {
			fill(t, out)
		}
		for len(seen) < n {
			seen[<-called] = true
		}
	}
	test.Equal(t, len(called), 0)
}

// The number of what was removed is that of the next one.
func TestWatcherForgetsWhatIsRemoved(t *testing.T) {
	test.Bounded(t)
	var w watcher
	called := make(chan int, 2)
	in, out, key := watchedPipe(t, &w, called, 0)
	n := fd.Number(in)
	w.remove(key)
	test.Check(t, in.Close())
	test.Check(t, out.Close())
	next, out, _ := watchedPipe(t, &w, called, 1)
	test.Equal(t, fd.Number(next), n)
	w.remove(key) // likewise
	fill(t, out)
	test.Equal(t, <-called, 1)
}

func TestWatcherDoesNotCallAtTheEndOfAPipe(t *testing.T) {
	test.Bounded(t)
	var w watcher
	called := make(chan int, 2)
	_, ended, _ := watchedPipe(t, &w, called, 0)
	test.Check(t, ended.Close())
	_, out, _ := watchedPipe(t, &w, called, 1)
	fill(t, out)
	test.Equal(t, <-called, 1)
	test.Equal(t, len(called), 0)
}

func TestNothingIsLeftOfAWatcherThatWatchesNothing(t *testing.T) {
	test.Bounded(t)
	goroutines, descriptors := runtime.NumGoroutine(), test.OpenDescriptors(t)
	var w watcher
	for range 3 {
		called := make(chan int, 1)
		in, out, key := watchedPipe(t, &w, called, 0)
		other, otherOut, _ := watchedPipe(t, &w, called, 1)
		w.remove(key)
		fill(t, otherOut)
		<-called
		for _, f := range []*os.File{in, out, other, otherOut} {
			test.Check(t, f.Close())
		}
		test.Eventually(t, "no goroutine and no descriptor more", func() bool {
			return runtime.NumGoroutine() <= goroutines && test.OpenDescriptors(t) <= descriptors
		})
		_, err := w.add(-1, func() {}) // fails
		test.IsNot(t, err, nil)
	}
	test.Eventually(t, "nothing left of what failed", func() bool {
		return runtime.NumGoroutine() <= goroutines && test.OpenDescriptors(t) <= descriptors
	})
}

// Each one that has something to read is called, whatever is added and removed meanwhile.
func TestWatcherLosesNoCall(t *testing.T) {
	test.Bounded(t)
	var w watcher
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range test.Scaled(2000) {
				in, out, err := os.Pipe()
				test.Check(t, err)
				called := make(chan struct{})
				key, err := w.add(fd.Number(in), func() { close(called) })
				test.Check(t, err)
				if i%3 > 0 {
					fill(t, out)
				}
				if i%3 > 1 {
					<-called
				}
				w.remove(key)
				test.Check(t, in.Close())
				test.Check(t, out.Close())
			}
		})
	}
	all.Wait()
}

// As on a kernel that has no pidfd: a goroutine and a thread wait for the child, and a goroutine for its crash.
func TestChildIsServedWhereNothingCanBeWatched(t *testing.T) {
	var limit syscall.Rlimit
	test.Check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	restore := func() { test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)) }
	defer restore()
	for free := range 3 { // nothing; one of the two descriptors
		test.Bounded(t)
		child, err := Start(doing("panic boom", new(Command)))
		test.Check(t, err)
		low := limit
		low.Cur = uint64(test.FreeDescriptors(t, free))
		test.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
		c := &life{Child: child}
		c.serve()
		restore()
		c.endsWith(t, 2)
		value, _ := c.ExplainCrash()
		test.Equal(t, value, "boom")
	}
}
