//go:build unix

package gipc

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

func init() {
	if os.Getenv(floorEnv) == "echo" {
		go func() { // the goroutine that runs init has a thread of its own, which takes longer to wake
			floorEcho(pollable(3), pollable(4))
			os.Exit(0)
		}()
		select {}
	}
}

// pollable returns a file that Go's poller waits for, as it does for those that gipc hands over.
func pollable(n uintptr) *os.File {
	if err := syscall.SetNonblock(int(n), true); err != nil {
		panic(err)
	}
	return os.NewFile(n, "floor")
}

func init() { childFloor = floorPingPong }

func floorPingPong(b *testing.B, size int) (_ stream, stop func()) {
	in, w := pipe(b)
	r, out := pipe(b)
	cmd := startFloor(b, "echo", in, out)
	trip := roundTrips(b, size, r, w)
	return func(n int) time.Duration {
			start := time.Now()
			for range n {
				trip()
			}
			return time.Since(start)
		}, func() {
			if err := errors.Join(w.Close(), cmd.Wait(), r.Close()); err != nil {
				b.Fatal(err)
			}
		}
}

// BenchmarkRatioPingPong is a round trip. Where it has two processors, their waking up is what it measures: run it on one, by
// taskset -c 0.
func BenchmarkRatioPingPong(b *testing.B) {
	for _, size := range []int{64, 4 << 10} {
		b.Run(sizeName(size), func(b *testing.B) {
			floor, stopFloor := floorPingPong(b, size)
			ours, stopOurs := ourPingPong(b, size, Options[[]byte]{})
			ratio(b, 3000, floor, ours)
			stopOurs()
			stopFloor()
		})
	}
}
