package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

type errand struct {
	Path string
	Tags []string
	At   map[string]int
}

// TestValuesArriveTyped: a structured value comes out as it was put in, with every codec that a channel may have.
func TestValuesArriveTyped(t *testing.T) {
	want := errand{"a/b", []string{"x", "y"}, map[string]int{"one": 1}}
	for _, codec := range []Codec[errand]{nil, CBOR[errand]{}, JSON[errand]{}} {
		test.Bounded(t)
		r, w, err := Pipe(inMemory(&Options[errand]{Codec: codec}))
		test.Check(t, err)
		closeAtEnd(t, r, w)
		var reused errand
		for range 3 {
			test.Check(t, w.Put(t.Context(), want))
			test.Check(t, r.GetInto(t.Context(), &reused))
			test.Equal(t, fmt.Sprint(reused), fmt.Sprint(want))
		}
	}
}

// TestPutNilIsInThePipe: without Buffer, what Put returned nil for can be read though the Writer never does anything again.
func TestPutNilIsInThePipe(t *testing.T) {
	rs, ws, err := fd.NewPipe(0)
	test.Check(t, err)
	w := NewWriter(ws, rawOptions)
	var want []byte
	for i := range 100 {
		message := test.Stamped(0, i, 200)
		test.Check(t, w.Put(t.Context(), message))
		want = appendFrame(want, message)
	}
	test.Equal(t, w.Stats().Queued, 0)
	got := make([]byte, len(want))
	_, err = io.ReadFull(rs, got)
	test.Check(t, err)
	test.Bytes(t, got, want)
	test.Check(t, errors.Join(w.CloseNow(), rs.Close()))
}

// TestFlushAndCloseWaitForTheBuffer: with Buffer, Put returns before its message is in the pipe; Flush and Close don't.
func TestFlushAndCloseWaitForTheBuffer(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.rawChannel(t, &Options[[]byte]{Codec: Raw{}, Buffer: 40 << 20})
		message := make([]byte, s.fill)
		test.Check(t, w.Put(t.Context(), message))
		if queued := w.Stats().Queued; queued == 0 {
			t.Error("nothing is queued")
		}
		ctx, cancel := context.WithCancel(t.Context())
		flushed := test.Started(func() error { return w.Flush(ctx) })
		underWay(t, w, 1)
		test.Is(t, w.TryClose(), ErrLocked)
		cancel()
		test.Is(t, <-flushed, context.Canceled)
		flushed = test.Started(func() error { return w.Flush(t.Context()) })
		_, err := r.Get(t.Context())
		test.Check(t, err)
		test.Check(t, <-flushed)
		test.Equal(t, w.Stats().Queued, 0)
		test.Check(t, w.Flush(t.Context())) // nothing to wait for
		test.Check(t, w.Put(t.Context(), message))
		closed := test.Started(w.Close)
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, len(v), len(message))
		test.Check(t, <-closed)
	})
}

// TestBufferIsALimit: Puts queue up to Buffer bytes, and as much again while that is being written; then they wait, in order.
func TestBufferIsALimit(t *testing.T) {
	test.Bounded(t)
	const buffer = 50_000
	r, w := rawPipe(t, &Options[[]byte]{Codec: Raw{}, Buffer: buffer, PipeSize: pageSize})
	var last error
	put := test.Started(func() int {
		for i := 0; ; i++ {
			if last = w.Put(t.Context(), test.Stamped(0, i, 1000)); last != nil {
				return i
			}
		}
	})
	underWay(t, w, 1) // it waits
	if queued := w.Stats().Queued; queued > 2*buffer {
		t.Errorf("%d bytes are queued", queued)
	}
	for i := range 500 {
		v, err := r.Get(t.Context())
		test.Check(t, err)
		_, seq := test.ReadStamp(t, v)
		test.Equal(t, seq, i)
	}
	test.Check(t, w.CloseNow())
	<-put
	test.Is(t, last, ErrClosed)
}

// TestPipeSizeIsTheRoomInThePipe puts messages that nobody reads: the first half must find room, the second must not.
func TestPipeSizeIsTheRoomInThePipe(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("PipeSize is a hint that changes nothing on this system")
	}
	test.Bounded(t)
	const frame = 1 << 10
	needsPipe(t, "the other ends have memory of another size")
	message := test.Pattern(frame - shortHeader)
	for _, size := range []int{16 << 10, 256 << 10} { // less and more than the default
		_, w := rawPipe(t, &Options[[]byte]{Codec: Raw{}, PipeSize: size})
		for range size / frame {
			test.Check(t, w.Put(t.Context(), message))
		}
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // a slow machine finds the end early
		defer cancel()
		var err error
		for i := 0; err == nil && i < size/frame; i++ {
			err = w.Put(short, message)
		}
		test.Is(t, err, context.DeadlineExceeded)
		test.Check(t, w.CloseNow())
	}
}

// TestSizeLimitHoldsOnBothSides: the sender refuses before a byte is sent, the receiver skips; both stay usable.
func TestSizeLimitHoldsOnBothSides(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		for _, limit := range []int{1, 100, chunkSize, 100_000} {
			rs, ws := s.open(t)
			r := NewReader(rs, &Options[[]byte]{Codec: Raw{}, MaxMessage: limit})
			w := NewWriter(ws, &Options[[]byte]{Codec: Raw{}, MaxMessage: 3 * limit})
			wait := sender(t, func() error {
				var size *TooLargeError
				if err := w.Put(t.Context(), test.Pattern(3*limit+1)); !errors.As(err, &size) || size.Size != uint64(3*limit+1) || size.Limit != 3*limit {
					return fmt.Errorf("Put above the limit: %v", err)
				}
				for range 3 {
					if err := errors.Join(w.Put(t.Context(), test.Pattern(limit)), w.Put(t.Context(), test.Pattern(limit+1)), w.Put(t.Context(), test.Pattern(3*limit))); err != nil {
						return err
					}
				}
				return w.Close()
			})
			for range 3 {
				v, err := r.Get(t.Context())
				test.Check(t, err)
				test.Bytes(t, v, test.Pattern(limit))
				for _, refused := range []int{limit + 1, 3 * limit} {
					_, err := r.Get(t.Context())
					var size *TooLargeError
					if !errors.As(err, &size) || size.Size != uint64(refused) || size.Limit != limit {
						t.Fatalf("Get above the limit: %v", err)
					}
				}
			}
			_, err := r.Get(t.Context())
			test.Equal(t, err, io.EOF)
			wait()
			test.Check(t, r.Close())
		}
	})
}

// TestSkippingCanBeCancelled: a Get that drops a refused message returns with its ctx, and the next one goes on.
func TestSkippingCanBeCancelled(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		rs, ws := s.open(t)
		r := NewReader(rs, &Options[[]byte]{Codec: Raw{}, MaxMessage: 1000})
		t.Cleanup(func() { _ = r.Close() })
		frame := appendFrame(nil, test.Pattern(100_000))
		arrives := make(chan int)
		wait := sender(t, func() error {
			for n := range arrives {
				if _, err := ws.Write(frame[:n]); err != nil {
					return err
				}
				frame = frame[n:]
			}
			_, err := ws.Write(appendFrame(nil, []byte("next")))
			return errors.Join(err, ws.Close())
		})
		arrives <- 4
		_, err := r.Get(t.Context())
		var size *TooLargeError
		if !errors.As(err, &size) {
			t.Fatal(err)
		}
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			got := test.Started(func() error { _, err := r.Get(ctx); return err })
			underWay(t, r, 1)
			arrives <- 10_000
			cancel()
			test.Is(t, <-got, context.Canceled)
		}
		got := test.Started(func() error { _, err := r.Get(t.Context()); return err })
		arrives <- 50_000
		close(arrives)
		test.Check(t, <-got)
		wait()
	})
}

// TestBrokenCodecLeavesTheEndUsable: a codec that panics, fails or forgets dst harms the one call only.
func TestBrokenCodecLeavesTheEndUsable(t *testing.T) {
	own := []byte("a slice of the codec's own")
	codec := CodecFunc("moody", func(dst, v []byte) ([]byte, error) {
		switch string(v) {
		case "panic":
			panic("moody")
		case "error":
			return nil, errors.ErrUnsupported
		case "nil":
			return nil, nil
		case "short":
			return dst[:0], nil
		case "own":
			return own, nil
		}
		return append(dst, v...), nil
	}, func(src []byte, v *[]byte) error {
		switch string(src) {
		case "panic there":
			panic("moody")
		case "error there":
			return errors.ErrUnsupported
		}
		return Raw{}.Decode(src, v)
	})
	for _, buffer := range []int{0, 1000} {
		r, w := rawPipe(t, &Options[[]byte]{Codec: codec, Buffer: buffer})
		for range 3 {
			for _, v := range []string{"nil", "short", "own", "error"} {
				var encode *EncodeError
				if err := w.Put(t.Context(), []byte(v)); !errors.As(err, &encode) || encode.Codec != "moody" {
					t.Errorf("Put of %s: %v, want *EncodeError", v, err)
				}
			}
			test.Panics(t, func() { _ = w.Put(t.Context(), []byte("panic")) })
			for _, v := range []string{"panic there", "error there", "fine"} {
				test.Check(t, w.Put(t.Context(), []byte(v)))
			}
			test.Panics(t, func() { _, _ = r.Get(t.Context()) })
			_, err := r.Get(t.Context())
			var decode *DecodeError
			if !errors.As(err, &decode) || decode.Size != len("error there") || !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("error is %v, want *DecodeError", err)
			}
			v, err := r.Get(t.Context())
			test.Check(t, err)
			test.Equal(t, string(v), "fine")
		}
		test.Equal(t, string(own), "a slice of the codec's own")
		test.Check(t, r.TryClose())
	}
}

// TestGetIntoNothingLeavesTheEndUsable: a nil pointer is its caller's mistake, and costs the others no message.
func TestGetIntoNothingLeavesTheEndUsable(t *testing.T) {
	test.Bounded(t)
	for _, size := range []int{1, 3 * chunkSize} {
		r, w := rawPipe(t, rawOptions)
		put := test.Started(func() error { return w.Put(t.Context(), test.Pattern(size)) })
		test.Panics(t, func() { _ = r.GetInto(t.Context(), nil) })
		got, err := r.Get(t.Context())
		test.Check(t, err)
		test.Bytes(t, got, test.Pattern(size))
		test.Check(t, <-put)
	}
}

// TestNilCtxLeavesTheEndUsable: a call with it panics, and locks nobody out.
func TestNilCtxLeavesTheEndUsable(t *testing.T) {
	test.Bounded(t)
	r, w := rawPipe(t, rawOptions)
	var none context.Context
	test.Panics(t, func() { _ = w.Put(none, []byte("x")) })
	test.Panics(t, func() { _ = w.Flush(none) })
	test.Panics(t, func() { w.Chan(none) })
	test.Panics(t, func() { _, _ = r.Get(none) })
	test.Check(t, w.Put(t.Context(), []byte("y")))
	v, err := r.Get(t.Context())
	test.Check(t, err)
	test.Equal(t, string(v), "y")
	test.Check(t, w.TryClose())
	test.Check(t, r.TryClose())
}

// selfContained is a value that points into itself.
type selfContained struct {
	room [16]byte
	text []byte
}

func appendSelfContained(dst []byte, v selfContained) ([]byte, error) {
	return append(dst, v.text...), nil
}

func decodeSelfContained(src []byte, v *selfContained) error {
	v.text = append(v.room[:0], src...)
	return nil
}

// TestValuesThatPointIntoThemselvesAreIndependent: the next Get leaves alone what an earlier one has returned.
func TestValuesThatPointIntoThemselvesAreIndependent(t *testing.T) {
	test.Bounded(t)
	codec := CodecFunc("self-contained", appendSelfContained, decodeSelfContained)
	r, w, err := Pipe(inMemory(&Options[selfContained]{Codec: codec}))
	test.Check(t, err)
	texts := []string{"first", "other"}
	var got []selfContained
	for _, text := range texts {
		test.Check(t, w.Put(t.Context(), selfContained{text: []byte(text)}))
		v, err := r.Get(t.Context())
		test.Check(t, err)
		got = append(got, v)
	}
	for i, text := range texts {
		test.Equal(t, string(got[i].text), text)
	}
	test.Check(t, errors.Join(w.Close(), r.Close()))
}

// TestAllGoesOnBehindAMessageThatIsNoValue: and stops at any other error.
func TestAllGoesOnBehindAMessageThatIsNoValue(t *testing.T) {
	stream := appendFrame(nil, []byte{0xf5})
	stream = appendFrame(stream, []byte("no bool"))
	stream = appendFrame(stream, test.Pattern(100))
	stream = appendFrame(stream, []byte{0xf4})
	stream = append(stream, 0, 0)
	r := NewReader(io.NopCloser(bytes.NewReader(stream)), &Options[bool]{MaxMessage: 50})
	var got []string
	for v, err := range r.All(t.Context()) {
		var decode *DecodeError
		var size *TooLargeError
		switch {
		case errors.As(err, &decode):
			got = append(got, "decode")
		case errors.As(err, &size):
			got = append(got, "size")
		case err != nil:
			test.Is(t, err, io.ErrUnexpectedEOF)
			got = append(got, "cut")
		default:
			got = append(got, fmt.Sprint(v))
		}
	}
	test.Equal(t, strings.Join(got, " "), "true decode size false cut")
}

// TestStatsCount: messages, bytes and calls of the system.
func TestStatsCount(t *testing.T) {
	r, w := rawPipe(t, rawOptions)
	for range 10 {
		test.Check(t, w.Put(t.Context(), test.Pattern(100)))
	}
	writes := uint64(10)
	if test.UnderWine() { // whose pipes never have room, so that each frame begins with a byte alone
		writes = 20
	}
	test.Equal(t, w.Stats(), Stats{Sent: 10, BytesSent: 1040, Writes: writes})
	for range 10 {
		_, err := r.Get(t.Context())
		test.Check(t, err)
	}
	test.Equal(t, r.Stats(), Stats{Received: 10, BytesReceived: 1000, Reads: 1})
}
