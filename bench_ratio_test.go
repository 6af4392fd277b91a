package gipc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

const floorEnv = "GIPC_BENCH_FLOOR"

// init makes this program the floor's child where it was started as one.
func init() {
	switch os.Getenv(floorEnv) {
	case "sink":
		floorSink(os.NewFile(3, "in"), os.NewFile(4, "ack"))
	case "once":
		floorOnce(os.NewFile(3, "in"), os.NewFile(4, "out"))
	case "structs", "gob":
		floorStructs(os.NewFile(3, "in"), os.NewFile(4, "ack"), os.Getenv(floorEnv) == "gob")
	default:
		return
	}
	os.Exit(0)
}

func floorSink(in, ack *os.File) {
	r := bufio.NewReaderSize(in, chunkSize)
	var v []byte
	for {
		var err error
		if v, err = floorRead(r, v); err == io.EOF {
			return
		} else if err != nil {
			panic(err)
		}
		if v[0] == lastMark {
			if _, err := ack.Write(v[:1]); err != nil {
				panic(err)
			}
		}
	}
}

func floorRead(r *bufio.Reader, v []byte) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	v = slices.Grow(v[:0], int(binary.BigEndian.Uint32(header[:])))
	v = v[:binary.BigEndian.Uint32(header[:])]
	_, err := io.ReadFull(r, v)
	return v, err
}

// floorOnce answers one message and ends.
func floorOnce(in, out *os.File) {
	v, err := floorRead(bufio.NewReader(in), nil)
	if err != nil {
		panic(err)
	}
	if _, err := out.Write(append(appendHeader(nil, len(v)), v...)); err != nil {
		panic(err)
	}
}

func startFloor(b *testing.B, mode string, files ...*os.File) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), floorEnv+"="+mode)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	return cmd
}

func pipe(b *testing.B) (r, w *os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	return r, w
}

// stream sends n messages to a child and waits until it has got them.
type stream func(n int) time.Duration

func floorStream(b *testing.B, size, writers int) (_ stream, stop func()) {
	in, w := pipe(b)
	ackR, ack := pipe(b)
	cmd := startFloor(b, "sink", in, ack)
	frame := append(appendHeader(nil, size), make([]byte, size)...)
	last := bytes.Clone(frame)
	last[shortHeader] = lastMark
	return func(n int) time.Duration {
			start := time.Now()
			inParallel(n-1, writers, func() error {
				_, err := w.Write(frame)
				return err
			})
			if _, err := w.Write(last); err != nil {
				b.Fatal(err)
			}
			awaitAck(b, ackR)
			return time.Since(start)
		}, func() {
			w.Close()
			ackR.Close()
			if err := cmd.Wait(); err != nil {
				b.Fatal(err)
			}
		}
}

// inParallel calls f n times, from several goroutines.
func inParallel(n, goroutines int, f func() error) {
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for range (n + i) / goroutines {
				if err := f(); err != nil {
					panic(err)
				}
			}
		})
	}
	wg.Wait()
}

func awaitAck(b *testing.B, ack *os.File) {
	if _, err := io.ReadFull(ack, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
}

func ourStream(b *testing.B, size, writers int, opts Options[[]byte]) (_ stream, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	opts.Codec = Raw{}
	r, w, err := Pipe(&opts)
	if err != nil {
		b.Fatal(err)
	}
	ackR, ack := pipe(b)
	p, err := Spawn(ctx, benchSink, benchSinkArgs{In: r, Ack: ack}, nil)
	if err != nil {
		b.Fatal(err)
	}
	message, last := make([]byte, size), make([]byte, size)
	last[0] = lastMark
	return func(n int) time.Duration {
			start := time.Now()
			inParallel(n-1, writers, func() error { return w.Put(ctx, message) })
			if err := w.Put(ctx, last); err != nil {
				b.Fatal(err)
			}
			awaitAck(b, ackR)
			return time.Since(start)
		}, func() {
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			ackR.Close()
			if err := p.Wait(ctx); err != nil {
				b.Fatal(err)
			}
			cancel()
		}
}

// rounds is how often floor and ours alternate.
const rounds = 15

// ratio runs floor and ours in turn and reports floor's time through ours.
func ratio(b *testing.B, n int, floor, ours stream) {
	floor(n)
	ours(n)
	var times [2][]float64
	var ratios []float64
	for range b.N {
		for i := range rounds {
			var t [2]float64
			for k := range 2 { // who is first changes, too
				which := (i + k) % 2
				t[which] = float64([]stream{floor, ours}[which](n).Nanoseconds()) / float64(n)
				times[which] = append(times[which], t[which])
			}
			ratios = append(ratios, t[0]/t[1])
		}
	}
	slices.Sort(ratios)
	for _, t := range times {
		slices.Sort(t)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(times[0][len(times[0])/2], "floor-ns/msg")
	b.ReportMetric(times[1][len(times[1])/2], "ns/msg")
	b.ReportMetric(ratios[0], "x-least")
	b.ReportMetric(ratios[len(ratios)/2], "x-median")
	b.ReportMetric(ratios[len(ratios)-1], "x-most")
}

func BenchmarkRatio(b *testing.B) {
	for _, c := range []struct {
		name            string
		size            int
		writers, buffer int
		messages        int
	}{
		{"writers=1/buffer=0", 1, 1, 0, 50_000},
		{"writers=1/buffer=0", 64, 1, 0, 50_000},
		{"writers=1/buffer=64KiB", 64, 1, 64 << 10, 200_000},
		{"writers=8/buffer=0", 64, 8, 0, 50_000},
		{"writers=1/buffer=0", 1 << 10, 1, 0, 50_000},
		{"writers=1/buffer=0", 4 << 10, 1, 0, 20_000},
		{"writers=1/buffer=0", 16 << 10, 1, 0, 8_000},
		{"writers=1/buffer=0", 64 << 10, 1, 0, 2_000},
		{"writers=1/buffer=0", 1 << 20, 1, 0, 200},
	} {
		b.Run(sizeName(c.size)+"/"+c.name, func(b *testing.B) {
			floor, stopFloor := floorStream(b, c.size, c.writers)
			ours, stopOurs := ourStream(b, c.size, c.writers, Options[[]byte]{Buffer: c.buffer})
			ratio(b, c.messages, floor, ours)
			stopOurs()
			stopFloor()
		})
	}
}

// BenchmarkRatioShared has the same floor: a write into a pipe for each message.
func BenchmarkRatioShared(b *testing.B) {
	for _, c := range []struct{ size, writers, messages int }{
		{64, 1, 200_000}, {1 << 10, 1, 100_000}, {16 << 10, 1, 20_000}, {64 << 10, 1, 5_000}, {1 << 20, 1, 400}, {64, 8, 200_000},
	} {
		b.Run(fmt.Sprintf("%s/writers=%d", sizeName(c.size), c.writers), func(b *testing.B) {
			floor, stopFloor := floorStream(b, c.size, c.writers)
			ours, stopOurs := ourStream(b, c.size, c.writers, Options[[]byte]{Shared: benchShared})
			ratio(b, c.messages, floor, ours)
			stopOurs()
			stopFloor()
		})
	}
}

// BenchmarkRatioSharedPingPong has the same over pipes as its floor: a side that waits must be woken either way.
func BenchmarkRatioSharedPingPong(b *testing.B) {
	for _, size := range []int{64, 64 << 10} {
		b.Run(sizeName(size), func(b *testing.B) {
			floor, stopFloor := ourPingPong(b, size, Options[[]byte]{})
			ours, stopOurs := ourPingPong(b, size, Options[[]byte]{Shared: benchShared})
			ratio(b, 3000, floor, ours)
			stopOurs()
			stopFloor()
		})
	}
}

func ourPingPong(b *testing.B, size int, opts Options[[]byte]) (_ stream, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	opts.Codec = Raw{}
	mine, theirs, err := NewDuplex(&opts, &opts)
	if err != nil {
		b.Fatal(err)
	}
	p, err := Spawn(ctx, benchEcho, theirs, nil)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, size)
	return func(n int) time.Duration {
			start := time.Now()
			for range n {
				if err := errors.Join(mine.Put(ctx, message), mine.GetInto(ctx, &message)); err != nil {
					b.Fatal(err)
				}
			}
			return time.Since(start)
		}, func() {
			if err := errors.Join(mine.Close(), p.Wait(ctx)); err != nil {
				b.Fatal(err)
			}
			cancel()
		}
}

// benchShared is Options.Shared of the benchmarks, in bytes.
const benchShared = 1 << 20

var benchOnce = Register("bench once", func(ctx context.Context, d *Duplex[[]byte, []byte]) error {
	v, err := d.Get(ctx)
	if err != nil {
		return err
	}
	return d.Put(ctx, v)
})

// BenchmarkRatioSpawn starts children, one after the other or several at once, exchanges one message with each and waits for
// its end. The floor starts the same program by os/exec.
func BenchmarkRatioSpawn(b *testing.B) {
	for _, at := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("at=%d", at), func(b *testing.B) {
			side := func(once func() error) stream {
				return func(n int) time.Duration {
					start := time.Now()
					inParallel(n, at, once)
					return time.Since(start)
				}
			}
			ratio(b, max(32, 2*at), side(floorChild), side(ourChild))
		})
	}
}

var onceMessage = []byte("one message")

func floorChild() error {
	in, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	r, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), floorEnv+"=once")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{in, out}, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	_, _ = in.Close(), out.Close()
	if _, err := w.Write(append(appendHeader(nil, len(onceMessage)), onceMessage...)); err != nil {
		return err
	}
	got, err := floorRead(bufio.NewReader(r), nil)
	return errors.Join(err, isOnceMessage(got), cmd.Wait())
}

func ourChild() error {
	ctx := context.Background()
	mine, theirs, err := NewDuplex(&Options[[]byte]{Codec: Raw{}}, &Options[[]byte]{Codec: Raw{}})
	if err != nil {
		return err
	}
	defer mine.CloseNow()
	p, err := Spawn(ctx, benchOnce, theirs, nil)
	if err != nil {
		return err
	}
	if err := mine.Put(ctx, onceMessage); err != nil {
		return err
	}
	got, err := mine.Get(ctx)
	return errors.Join(err, isOnceMessage(got), p.Wait(ctx))
}

func isOnceMessage(got []byte) error {
	if !bytes.Equal(got, onceMessage) {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

// BenchmarkSpawn reports what starting a child, one message to and fro, and its end allocate in the parent.
func BenchmarkSpawn(b *testing.B) {
	for _, side := range []struct {
		name string
		once func() error
	}{{"floor", floorChild}, {"gipc", ourChild}} {
		b.Run(side.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := side.once(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
