package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// transport is a way from a Writer to a Reader, for messages of up to 1 GiB. What it needs ends with the test.
type transport struct {
	name string
	open func(t testing.TB) (*Reader[[]byte], *Writer[[]byte])
}

// transports are those that the guarantees are tested over. Other files add theirs at start-up.
var transports = func() (all []transport) {
	for _, s := range byteStreams {
		all = append(all, transport{s.name, func(t testing.TB) (*Reader[[]byte], *Writer[[]byte]) {
			return s.rawChannel(t, rawOptions)
		}})
		all = append(all, transport{s.name + ", buffered", func(t testing.TB) (*Reader[[]byte], *Writer[[]byte]) {
			return s.rawChannel(t, &Options[[]byte]{Codec: Raw{}, Buffer: 10_000})
		}})
	}
	return all
}()

// conformance are the guarantees that hold over every transport.
var conformance = []struct {
	guarantee string
	test      func(t *testing.T, r *Reader[[]byte], w *Writer[[]byte])
}{
	{"messages arrive whole and in order", testInOrder},
	{"every size arrives whole", testSizes},
	{"concurrent Gets and Puts share the messages", testManyToMany},
	{"cancelled Gets lose nothing", testCancelledGets},
	{"the end comes behind the last message", testEnd},
	{"All ends without an error", testAllEnds},
	{"native channels carry everything", testChans},
}

func TestConformance(t *testing.T) {
	for _, tr := range transports {
		for _, c := range conformance {
			t.Run(tr.name+"/"+c.guarantee, func(t *testing.T) {
				test.Bounded(t)
				r, w := tr.open(t)
				c.test(t, r, w)
			})
		}
	}
}

// sender runs f, which puts, and returns a function that waits for its end and fails the test if it failed.
func sender(t *testing.T, f func() error) (wait func()) {
	result := test.Started(f)
	return func() {
		t.Helper()
		test.Check(t, <-result)
	}
}

func testInOrder(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	const n = 500
	wait := sender(t, func() error {
		for i := range n {
			if err := w.Put(t.Context(), test.Stamped(1, i, i*37%5000)); err != nil {
				return err
			}
		}
		return w.Flush(t.Context())
	})
	var buf []byte
	for i := range n {
		test.Check(t, r.GetInto(t.Context(), &buf))
		_, seq := test.ReadStamp(t, buf)
		test.Equal(t, seq, i)
	}
	wait()
}

// ladder are sizes around everything that the code treats differently.
var ladder = func() []int {
	sizes := []int{0, 1, 2, 3, 4, 5, 511, 512, 513}
	for _, edge := range []int{512, pageSize, chunkSize, 4*chunkSize - shortHeader} {
		for _, d := range []int{-12, -8, -5, -4, -3, -1, 0, 1, 3, 4, 5, 8, 12} {
			sizes = append(sizes, edge+d)
		}
	}
	return append(sizes, chunkSize+64, 2*chunkSize, 1<<20-1, 1<<20)
}()

func testSizes(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	wait := sender(t, func() error {
		for _, size := range ladder {
			if err := w.Put(t.Context(), test.Pattern(size)); err != nil {
				return err
			}
		}
		return w.Close()
	})
	var buf []byte
	for i, size := range ladder {
		if i%2 == 0 {
			test.Check(t, r.GetInto(t.Context(), &buf))
		} else {
			var err error
			buf, err = r.Get(t.Context())
			test.Check(t, err)
		}
		if buf == nil {
			t.Fatalf("message of %d bytes is nil", size)
		}
		test.Bytes(t, buf, test.Pattern(size))
	}
	_, err := r.Get(t.Context())
	test.Equal(t, err, io.EOF)
	wait()
}

func testManyToMany(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	const producers, consumers, each = 6, 3, 60
	var putting, getting sync.WaitGroup
	for p := range producers {
		putting.Go(func() {
			for i := range each {
				size := 100
				if i%20 == 0 {
					size = 150 << 10
				}
				if err := w.Put(t.Context(), test.Stamped(p, i, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var got test.Tally
	for range consumers {
		getting.Go(func() {
			note := got.Consumer(t)
			for {
				v, err := r.Get(t.Context())
				if err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					return
				}
				note(v)
			}
		})
	}
	putting.Wait()
	test.Check(t, w.Close())
	getting.Wait()
	test.Equal(t, got.Len(), producers*each)
}

func testCancelledGets(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	const n = 100
	wait := sender(t, func() error {
		for i := range n {
			if err := w.Put(t.Context(), test.Stamped(1, i, i%5*50_000)); err != nil {
				return err
			}
		}
		return w.Close()
	})
	for i, cancelled := 0, 0; ; cancelled++ {
		ctx, cancel := context.WithCancel(t.Context())
		if cancelled%4 != 0 { // else it waits for bytes: the runtime looks for them only when nothing else can run
			go func() {
				for range cancelled % 7 {
					runtime.Gosched()
				}
				cancel()
			}()
		}
		v, err := r.Get(ctx)
		cancel()
		if err == nil {
			_, seq := test.ReadStamp(t, v)
			test.Equal(t, seq, i)
			i++
		} else if err == io.EOF {
			test.Equal(t, i, n)
			break
		} else {
			test.Is(t, err, context.Canceled)
		}
	}
	wait()
}

func testEnd(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	closed := test.Started(func() error {
		return errors.Join(w.Put(t.Context(), []byte("last")), w.Close())
	})
	v, err := r.Get(t.Context())
	test.Check(t, err)
	test.Equal(t, string(v), "last")
	for range 3 {
		_, err = r.Get(t.Context())
		test.Equal(t, err, io.EOF)
	}
	test.Check(t, <-closed)
	test.Is(t, w.Put(t.Context(), nil), ErrClosed)
	test.Check(t, r.Close())
	_, err = r.Get(t.Context())
	test.Is(t, err, ErrClosed)
}

func testAllEnds(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	wait := sender(t, func() error {
		for i := range 10 {
			if err := w.Put(t.Context(), fmt.Append(nil, i)); err != nil {
				return err
			}
		}
		return w.Close()
	})
	i := 0
	for v, err := range r.All(t.Context()) {
		test.Check(t, err)
		test.Equal(t, string(v), fmt.Sprint(i))
		i++
	}
	test.Equal(t, i, 10)
	wait()
}

func testChans(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	in, sent := w.Chan(t.Context())
	out, ended := r.Chan(t.Context())
	const n = 200
	wait := sender(t, func() error {
		for i := range n {
			in <- test.Stamped(0, i, i*331%70_000)
		}
		close(in)
		return errors.Join(<-sent, w.Close())
	})
	i := 0
	for v := range out {
		_, seq := test.ReadStamp(t, v)
		test.Equal(t, seq, i)
		i++
	}
	test.Equal(t, i, n)
	test.Check(t, <-ended)
	wait()
}
