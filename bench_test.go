package gipc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// The benchmarks measure each layer alone: framing in memory, a channel inside one process, a channel to a child. Those
// named Ratio alternate with the raw floor in one run, and report how many times the floor's speed ours is: the median of
// the rounds, and the least and greatest. The floor is what a careful program would do by hand: os.Pipe, one write for
// each message, and a child that reads through a bufio.Reader.

var benchSizes = []int{1, 64, 4 << 10, 64 << 10, 1 << 20}

func sizeName(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("size=%dMiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("size=%dKiB", n>>10)
	}
	return fmt.Sprintf("size=%dB", n)
}

// endless is a stream that repeats one frame.
type endless struct {
	frame []byte
	at    int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		m := copy(p[n:], e.frame[e.at:])
		n += m
		e.at = (e.at + m) % len(e.frame)
	}
	return n, nil
}

func (*endless) Write(p []byte) (int, error) { return len(p), nil }

func (*endless) Close() error { return nil }

// SetReadDeadline and SetWriteDeadline make the stream one that needs no goroutine of its own.
func (*endless) SetReadDeadline(time.Time) error { return nil }

func (*endless) SetWriteDeadline(time.Time) error { return nil }

func BenchmarkFraming(b *testing.B) {
	ctx := context.Background()
	for _, size := range benchSizes {
		newStream := func() *endless { return &endless{frame: append(appendHeader(nil, size), make([]byte, size)...)} }
		b.Run("op=get/"+sizeName(size), func(b *testing.B) {
			stream := newStream() // a Reader that is dropped takes a part of a frame along
			r := NewReader(io.ReadCloser(stream), &Options[[]byte]{Codec: Raw{}})
			var v []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.GetInto(ctx, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("op=put/"+sizeName(size), func(b *testing.B) {
			w := NewWriter(io.WriteCloser(newStream()), &Options[[]byte]{Codec: Raw{}})
			v := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Put(ctx, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkChannel is a ping-pong inside one process.
func BenchmarkChannel(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(sizeName(size)+"/by=gipc", func(b *testing.B) {
			a, z, err := NewDuplex(&Options[[]byte]{Codec: Raw{}}, &Options[[]byte]{Codec: Raw{}})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				defer z.CloseNow()
				var v []byte
				for z.GetInto(ctx, &v) == nil && z.Put(ctx, v) == nil {
				}
			}()
			benchPingPong(b, ctx, a, size)
			a.CloseNow()
		})
		b.Run(sizeName(size)+"/by=floor", func(b *testing.B) {
			in, w := pipe(b)
			r, out := pipe(b)
			ended := test.Started(func() error { floorEcho(in, out); return errors.Join(in.Close(), out.Close()) })
			benchFloor(b, size, roundTrips(b, size, r, w))
			if err := errors.Join(w.Close(), <-ended, r.Close()); err != nil {
				b.Fatal(err)
			}
		})
	}
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

// roundTrips returns what sends a message of that size to floorEcho, and reads it again.
func roundTrips(b *testing.B, size int, r io.Reader, w io.Writer) func() {
	frame := append(appendHeader(nil, size), make([]byte, size)...)
	answers := bufio.NewReaderSize(r, chunkSize)
	var v []byte
	return func() {
		if _, err := w.Write(frame); err != nil {
			b.Fatal(err)
		}
		var err error
		if v, err = floorRead(answers, v); err != nil {
			b.Fatal(err)
		}
	}
}

func benchFloor(b *testing.B, size int, trip func()) {
	b.SetBytes(int64(2 * size))
	b.ReportAllocs()
	for b.Loop() {
		trip()
	}
}

func benchPingPong(b *testing.B, ctx context.Context, d *Duplex[[]byte, []byte], size int) {
	b.SetBytes(int64(2 * size))
	b.ReportAllocs()
	v, got := make([]byte, size), make([]byte, 0, size)
	for b.Loop() {
		if err := d.Put(ctx, v); err != nil {
			b.Fatal(err)
		}
		if err := d.GetInto(ctx, &got); err != nil {
			b.Fatal(err)
		}
	}
}

var benchEcho = Register("bench echo", func(ctx context.Context, d *Duplex[[]byte, []byte]) error {
	var v []byte
	for {
		if err := d.GetInto(ctx, &v); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := d.Put(ctx, v); err != nil {
			return err
		}
	}
})

// childFloor is the same as a child, on systems where one can be started with pipes of its own.
var childFloor func(b *testing.B, size int) (trips stream, stop func())

// BenchmarkChild is a ping-pong with a child.
func BenchmarkChild(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(sizeName(size)+"/by=gipc", func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			mine, theirs, err := NewDuplex(&Options[[]byte]{Codec: Raw{}}, &Options[[]byte]{Codec: Raw{}})
			if err != nil {
				b.Fatal(err)
			}
			p, err := Spawn(ctx, benchEcho, theirs, nil)
			if err != nil {
				b.Fatal(err)
			}
			benchPingPong(b, ctx, mine, size)
			if err := mine.Close(); err != nil {
				b.Fatal(err)
			}
			if err := p.Wait(ctx); err != nil {
				b.Fatal(err)
			}
		})
		if childFloor == nil {
			continue
		}
		b.Run(sizeName(size)+"/by=floor", func(b *testing.B) {
			trips, stop := childFloor(b, size)
			benchFloor(b, size, func() { trips(1) })
			stop()
		})
	}
}

// A stream ends with a message whose first byte is lastMark; the child then answers with one byte.
const lastMark = 1

type benchSinkArgs struct {
	In  *Reader[[]byte]
	Ack *os.File
}

var benchSink = Register("bench sink", func(ctx context.Context, a benchSinkArgs) error {
	var v []byte
	for {
		if err := a.In.GetInto(ctx, &v); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if v[0] == lastMark {
			if _, err := a.Ack.Write(v[:1]); err != nil {
				return err
			}
		}
	}
})
