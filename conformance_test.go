package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
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
				bounded(t)
				r, w := tr.open(t)
				c.test(t, r, w)
			})
		}
	}
}

// sender runs f, which puts, and returns a function that waits for its end and fails the test if it failed.
func sender(t *testing.T, f func() error) (wait func()) {
	result := started(f)
	return func() {
		t.Helper()
		check(t, <-result)
	}
}

func testInOrder(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	const n = 500
	wait := sender(t, func() error {
		for i := range n {
			if err := w.Put(t.Context(), stamped(1, i, i*37%5000)); err != nil {
				return err
			}
		}
		return w.Flush(t.Context())
	})
	var buf []byte
	for i := range n {
		check(t, r.GetInto(t.Context(), &buf))
		_, seq := readStamp(t, buf)
		checkEqual(t, seq, i)
	}
	wait()
}

// ladder are sizes around everything that the code treats differently.
var ladder = func() []int {
	sizes := []int{0, 1, 2, 3, 4, 5, 511, 512, 513}
	for _, edge := range []int{smallChunkSize, pageSize, chunkSize, copyLimit} {
		for _, d := range []int{-12, -8, -5, -4, -3, -1, 0, 1, 3, 4, 5, 8, 12} {
			sizes = append(sizes, edge+d)
		}
	}
	return append(sizes, chunkSize+cacheLine, 2*chunkSize, 1<<20-1, 1<<20)
}()

func testSizes(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	wait := sender(t, func() error {
		for _, size := range ladder {
			if err := w.Put(t.Context(), pattern(size)); err != nil {
				return err
			}
		}
		return w.Close()
	})
	var buf []byte
	for i, size := range ladder {
		if i%2 == 0 {
			check(t, r.GetInto(t.Context(), &buf))
		} else {
			var err error
			buf, err = r.Get(t.Context())
			check(t, err)
		}
		if buf == nil {
			t.Fatalf("message of %d bytes is nil", size)
		}
		checkBytes(t, buf, pattern(size))
	}
	_, err := r.Get(t.Context())
	checkEqual(t, err, io.EOF)
	wait()
}

// tally notes what arrives and checks it: each message once, and those of a producer in order at each consumer.
type tally struct {
	mu   sync.Mutex
	seen map[[2]int]bool
}

// consumer returns a function that notes a message which one consumer got.
func (c *tally) consumer(t testing.TB) func(message []byte) {
	last := map[int]int{}
	return func(message []byte) {
		t.Helper()
		producer, seq := readStamp(t, message)
		if before, ok := last[producer]; ok && before >= seq {
			t.Errorf("producer %d: message %d came behind %d", producer, seq, before)
		}
		last[producer] = seq
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.seen[[2]int{producer, seq}] {
			t.Errorf("producer %d: message %d came twice", producer, seq)
		}
		if c.seen == nil {
			c.seen = map[[2]int]bool{}
		}
		c.seen[[2]int{producer, seq}] = true
	}
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
				if err := w.Put(t.Context(), stamped(p, i, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var got tally
	for range consumers {
		getting.Go(func() {
			note := got.consumer(t)
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
	check(t, w.Close())
	getting.Wait()
	checkEqual(t, len(got.seen), producers*each)
}

func testCancelledGets(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	const n = 100
	wait := sender(t, func() error {
		for i := range n {
			if err := w.Put(t.Context(), stamped(1, i, i%5*50_000)); err != nil {
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
			_, seq := readStamp(t, v)
			checkEqual(t, seq, i)
			i++
		} else if err == io.EOF {
			checkEqual(t, i, n)
			break
		} else {
			checkIs(t, err, context.Canceled)
		}
	}
	wait()
}

func testEnd(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	closed := started(func() error {
		return errors.Join(w.Put(t.Context(), []byte("last")), w.Close())
	})
	v, err := r.Get(t.Context())
	check(t, err)
	checkEqual(t, string(v), "last")
	for range 3 {
		_, err = r.Get(t.Context())
		checkEqual(t, err, io.EOF)
	}
	check(t, <-closed)
	checkIs(t, w.Put(t.Context(), nil), ErrClosed)
	check(t, r.Close())
	_, err = r.Get(t.Context())
	checkIs(t, err, ErrClosed)
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
		check(t, err)
		checkEqual(t, string(v), fmt.Sprint(i))
		i++
	}
	checkEqual(t, i, 10)
	wait()
}

func testChans(t *testing.T, r *Reader[[]byte], w *Writer[[]byte]) {
	in, sent := w.Chan(t.Context())
	out, ended := r.Chan(t.Context())
	const n = 200
	wait := sender(t, func() error {
		for i := range n {
			in <- stamped(0, i, i*331%70_000)
		}
		close(in)
		return errors.Join(<-sent, w.Close())
	})
	i := 0
	for v := range out {
		_, seq := readStamp(t, v)
		checkEqual(t, seq, i)
		i++
	}
	checkEqual(t, i, n)
	check(t, <-ended)
	wait()
}
