package gipc

import (
	"context"
	"io"
	"sync"
	"testing"
)

// BenchmarkStream is a stream inside one process, so that a profile shows both sides: tools/profile makes a table of it.
func BenchmarkStream(b *testing.B) {
	raw := func(size int, o Options[[]byte]) func(b *testing.B) {
		o.Codec = Raw{}
		return func(b *testing.B) { streamOf(b, make([]byte, size), o, 1) }
	}
	b.Run("pipe/64B", raw(64, Options[[]byte]{}))
	b.Run("pipe/16KiB", raw(16<<10, Options[[]byte]{}))
	b.Run("pipe/1MiB", raw(1<<20, Options[[]byte]{}))
	b.Run("buffer/64B", raw(64, Options[[]byte]{Buffer: 64 << 10}))
	b.Run("shared/64B", raw(64, Options[[]byte]{Shared: 1 << 20}))
	b.Run("shared/1MiB", raw(1<<20, Options[[]byte]{Shared: 1 << 20}))
	b.Run("crowd/64B", func(b *testing.B) { streamOf(b, make([]byte, 64), Options[[]byte]{Codec: Raw{}}, 8) })
	b.Run("pipe/struct", func(b *testing.B) { streamOf(b, newBenchStruct(), Options[benchStruct]{}, 1) })
	b.Run("shared/struct", func(b *testing.B) { streamOf(b, newBenchStruct(), Options[benchStruct]{Shared: 1 << 20}, 1) })
}

// streamOf has so many goroutines Put v, and one read it.
func streamOf[T any](b *testing.B, v T, o Options[T], writers int) {
	r, w, err := Pipe(&o)
	if o.Shared > 0 && err != nil {
		b.Skip("no shared memory: ", err)
	}
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	work := make(chan int, writers)
	for range writers {
		wg.Go(func() {
			for range <-work {
				if err := w.Put(ctx, v); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range writers {
		work <- (b.N + i) / writers
	}
	go func() {
		wg.Wait()
		if err := w.Close(); err != nil {
			b.Error(err)
		}
	}()
	var got T
	for err = nil; err == nil; {
		err = r.GetInto(ctx, &got)
	}
	if err != io.EOF {
		b.Fatal(err)
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}
