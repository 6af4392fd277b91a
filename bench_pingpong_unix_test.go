//go:build unix

package gipc

import (
	"bufio"
	"errors"
	"io"
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

func floorEcho(in, out *os.File) {
	r := bufio.NewReaderSize(in, chunkSize)
	var v, answer []byte
	for {
		var err error
		if v, err = floorRead(r, v); err == io.EOF {
			return
		} else if err != nil {
			panic(err)
		}
		answer = append(appendHeader(answer[:0], len(v)), v...)
		if _, err := out.Write(answer); err != nil {
			panic(err)
		}
	}
}

func floorPingPong(b *testing.B, size int) (_ stream, stop func()) {
	in, w := pipe(b)
	r, out := pipe(b)
	cmd := startFloor(b, "echo", in, out)
	frame := append(appendHeader(nil, size), make([]byte, size)...)
	answers := bufio.NewReaderSize(r, chunkSize)
	var v []byte
	return func(n int) time.Duration {
			start := time.Now()
			for range n {
				if _, err := w.Write(frame); err != nil {
					b.Fatal(err)
				}
				var err error
				if v, err = floorRead(answers, v); err != nil {
					b.Fatal(err)
				}
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
