package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

var bench = Register("bench", func(ctx context.Context, arg []byte) ([]byte, error) { return nil, nil })

// byHand is what a user would write without the pool.
var byHand = gipc.Register("by hand", func(ctx context.Context, ch *gipc.Duplex[[]byte, []byte]) error {
	var arg []byte
	for {
		switch err := ch.GetInto(ctx, &arg); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := ch.Put(ctx, nil); err != nil {
			return err
		}
	}
})

// floor calls byHand's child.
func floor(b *testing.B, ctx context.Context) (do func(arg []byte) error) {
	mine, theirs, err := gipc.NewDuplex[[]byte, []byte](nil, nil)
	test.Check(b, err)
	p, err := gipc.Spawn(ctx, byHand, theirs, nil)
	test.Check(b, err)
	b.Cleanup(func() {
		test.Check(b, mine.CloseWrite())
		test.Check(b, p.Wait(context.Background()))
		test.Check(b, mine.Close())
	})
	var result []byte
	return func(arg []byte) error {
		if err := mine.Put(ctx, arg); err != nil {
			return err
		}
		return mine.GetInto(ctx, &result)
	}
}

// BenchmarkPool compares a task with a round trip over a Duplex, alternating, one at a time. A factor below 1 says that the
// pool is slower.
func BenchmarkPool(b *testing.B) {
	for _, size := range []int{0, 1 << 10, 1 << 20} {
		for _, perWorker := range []int{1, 8} {
			b.Run(fmt.Sprintf("arg=%d/perWorker=%d", size, perWorker), func(b *testing.B) {
				ctx := context.Background()
				p, err := New(bench, &Options{Max: 1, PerWorker: perWorker})
				test.Check(b, err)
				b.Cleanup(func() { test.Check(b, p.Close()) })
				arg := make([]byte, size)
				compare(b, min(200, 1+(10<<20)/(size+1)), floor(b, ctx), func(a []byte) error { _, err := p.Do(ctx, a); return err }, arg)
			})
		}
	}
}

// BenchmarkPoolThroughput is tasks of 64 goroutines on two workers.
func BenchmarkPoolThroughput(b *testing.B) {
	p, err := New(bench, &Options{Max: 2})
	test.Check(b, err)
	b.Cleanup(func() { test.Check(b, p.Close()) })
	test.Check(b, p.WaitReady(b.Context()))
	var wg sync.WaitGroup
	tasks := make(chan struct{})
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for range tasks {
				if _, err := p.Do(context.Background(), nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		tasks <- struct{}{}
	}
	close(tasks)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// compare runs rounds of each, alternating, and reports the medians and the factor between them.
func compare(b *testing.B, calls int, floor, ours func([]byte) error, arg []byte) {
	measure := func(f func([]byte) error) float64 {
		began := time.Now()
		for range calls {
			test.Check(b, f(arg))
		}
		return float64(time.Since(began).Nanoseconds()) / float64(calls)
	}
	measure(floor)
	measure(ours)
	var floors, all, factors []float64
	for b.Loop() {
		for range 20 {
			f, o := measure(floor), measure(ours)
			floors, all, factors = append(floors, f), append(all, o), append(factors, f/o)
		}
	}
	for _, v := range [][]float64{floors, all, factors} {
		slices.Sort(v)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(floors[len(floors)/2], "floor-ns/task")
	b.ReportMetric(all[len(all)/2], "ns/task")
	b.ReportMetric(factors[0], "x-least")
	b.ReportMetric(factors[len(factors)/2], "x-median")
	b.ReportMetric(factors[len(factors)-1], "x-most")
}

// BenchmarkPoolPython is BenchmarkPoolThroughput of Python's ProcessPoolExecutor.
func BenchmarkPoolPython(b *testing.B) {
	const script = `
import sys, time
from concurrent.futures import ProcessPoolExecutor
def nothing(_): return None
if __name__ == "__main__":
    n = int(sys.argv[1])
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(nothing, range(100)))
        began = time.perf_counter()
        window = [pool.submit(nothing, i) for i in range(64)]
        for i in range(n):
            window[i % 64].result()
            window[i % 64] = pool.submit(nothing, i)
        print(n / (time.perf_counter() - began))
`
	python, err := exec.LookPath("python3")
	if err != nil {
		b.Skip("there is no python3")
	}
	path := filepath.Join(b.TempDir(), "pool.py")
	test.Check(b, os.WriteFile(path, []byte(script), 0o600))
	n := max(b.N, 2000)
	out, err := exec.Command(python, path, strconv.Itoa(n)).Output()
	test.Check(b, err)
	rate, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	test.Check(b, err)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rate, "tasks/s")
}
