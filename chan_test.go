package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
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
		bounded(t)
		r, w, err := Pipe(&Options[errand]{Codec: codec})
		check(t, err)
		closeAtEnd(t, r, w)
		var reused errand
		for range 3 {
			check(t, w.Put(t.Context(), want))
			check(t, r.GetInto(t.Context(), &reused))
			checkEqual(t, fmt.Sprint(reused), fmt.Sprint(want))
		}
	}
}

// TestPutNilIsInThePipe: without Buffer, what Put returned nil for can be read though the Writer never does anything again.
func TestPutNilIsInThePipe(t *testing.T) {
	rs, ws, err := newPipe(0)
	check(t, err)
	w := NewWriter(ws, rawOptions)
	var want []byte
	for i := range 100 {
		message := stamped(0, i, 200)
		check(t, w.Put(t.Context(), message))
		want = appendFrame(want, message)
	}
	checkEqual(t, w.Stats().Queued, 0)
	got := make([]byte, len(want))
	_, err = io.ReadFull(rs, got)
	check(t, err)
	checkBytes(t, got, want)
	check(t, errors.Join(w.CloseNow(), rs.Close()))
}

// TestFlushAndCloseWaitForTheBuffer: with Buffer, Put returns before its message is in the pipe; Flush and Close don't.
func TestFlushAndCloseWaitForTheBuffer(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		r, w := s.rawChannel(t, hugeBuffer)
		message := make([]byte, s.fill)
		check(t, w.Put(t.Context(), message))
		if queued := w.Stats().Queued; queued == 0 {
			t.Error("nothing is queued")
		}
		ctx, cancel := context.WithCancel(t.Context())
		flushed := started(func() error { return w.Flush(ctx) })
		underWay(t, w.out, 1)
		checkIs(t, w.TryClose(), ErrLocked)
		cancel()
		checkIs(t, <-flushed, context.Canceled)
		flushed = started(func() error { return w.Flush(t.Context()) })
		_, err := r.Get(t.Context())
		check(t, err)
		check(t, <-flushed)
		checkEqual(t, w.Stats().Queued, 0)
		check(t, w.Flush(t.Context())) // nothing to wait for
		check(t, w.Put(t.Context(), message))
		closed := started(w.Close)
		v, err := r.Get(t.Context())
		check(t, err)
		checkEqual(t, len(v), len(message))
		check(t, <-closed)
	})
}

// TestBufferIsALimit: Puts queue up to Buffer bytes, and as much again while that is being written; then they wait, in order.
func TestBufferIsALimit(t *testing.T) {
	bounded(t)
	const buffer = 50_000
	r, w := rawPipe(t, &Options[[]byte]{Codec: Raw{}, Buffer: buffer, PipeSize: pageSize})
	var last error
	put := started(func() int {
		for i := 0; ; i++ {
			if last = w.Put(t.Context(), stamped(0, i, 1000)); last != nil {
				return i
			}
		}
	})
	underWay(t, w.out, 1) // it waits
	if queued := w.Stats().Queued; queued > 2*buffer {
		t.Errorf("%d bytes are queued", queued)
	}
	for i := range 500 {
		v, err := r.Get(t.Context())
		check(t, err)
		_, seq := readStamp(t, v)
		checkEqual(t, seq, i)
	}
	check(t, w.CloseNow())
	<-put
	checkIs(t, last, ErrClosed)
}

// TestPipeSizeIsTheRoomInThePipe puts messages that nobody reads: the first half must find room, the second must not.
func TestPipeSizeIsTheRoomInThePipe(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("PipeSize is a hint that changes nothing on this system")
	}
	bounded(t)
	const frame = 1 << 10
	message := pattern(frame - shortHeader)
	for _, size := range []int{16 << 10, 256 << 10} { // less and more than the default
		_, w := rawPipe(t, &Options[[]byte]{Codec: Raw{}, PipeSize: size})
		for range size / frame {
			check(t, w.Put(t.Context(), message))
		}
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // a slow machine finds the end early
		defer cancel()
		var err error
		for i := 0; err == nil && i < size/frame; i++ {
			err = w.Put(short, message)
		}
		checkIs(t, err, context.DeadlineExceeded)
		check(t, w.CloseNow())
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
				if err := w.Put(t.Context(), pattern(3*limit+1)); !errors.As(err, &size) || size.Size != uint64(3*limit+1) || size.Limit != 3*limit {
					return fmt.Errorf("Put above the limit: %v", err)
				}
				for range 3 {
					if err := errors.Join(w.Put(t.Context(), pattern(limit)), w.Put(t.Context(), pattern(limit+1)), w.Put(t.Context(), pattern(3*limit))); err != nil {
						return err
					}
				}
				return w.Close()
			})
			for range 3 {
				v, err := r.Get(t.Context())
				check(t, err)
				checkBytes(t, v, pattern(limit))
				for _, refused := range []int{limit + 1, 3 * limit} {
					_, err := r.Get(t.Context())
					var size *TooLargeError
					if !errors.As(err, &size) || size.Size != uint64(refused) || size.Limit != limit {
						t.Fatalf("Get above the limit: %v", err)
					}
				}
			}
			_, err := r.Get(t.Context())
			checkEqual(t, err, io.EOF)
			wait()
			check(t, r.Close())
		}
	})
}

// TestSkippingCanBeCancelled: a Get that drops a refused message returns with its ctx, and the next one goes on.
func TestSkippingCanBeCancelled(t *testing.T) {
	onEachStream(t, func(t *testing.T, s byteStream) {
		rs, ws := s.open(t)
		r := NewReader(rs, &Options[[]byte]{Codec: Raw{}, MaxMessage: 1000})
		t.Cleanup(func() { _ = r.Close() })
		frame := appendFrame(nil, pattern(100_000))
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
			got := started(func() error { _, err := r.Get(ctx); return err })
			underWay(t, r.in, 1)
			arrives <- 10_000
			cancel()
			checkIs(t, <-got, context.Canceled)
		}
		got := started(func() error { _, err := r.Get(t.Context()); return err })
		arrives <- 50_000
		close(arrives)
		check(t, <-got)
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
		return decodeBytes(src, v)
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
			panics(t, func() { _ = w.Put(t.Context(), []byte("panic")) })
			for _, v := range []string{"panic there", "error there", "fine"} {
				check(t, w.Put(t.Context(), []byte(v)))
			}
			panics(t, func() { _, _ = r.Get(t.Context()) })
			_, err := r.Get(t.Context())
			var decode *DecodeError
			if !errors.As(err, &decode) || decode.Size != len("error there") || !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("error is %v, want *DecodeError", err)
			}
			v, err := r.Get(t.Context())
			check(t, err)
			checkEqual(t, string(v), "fine")
		}
		checkEqual(t, string(own), "a slice of the codec's own")
		check(t, r.TryClose())
	}
}

// TestGetIntoNothingLeavesTheEndUsable: a nil pointer is its caller's mistake, and costs the others no message.
func TestGetIntoNothingLeavesTheEndUsable(t *testing.T) {
	bounded(t)
	for _, size := range []int{1, 3 * chunkSize} {
		r, w := rawPipe(t, rawOptions)
		put := started(func() error { return w.Put(t.Context(), pattern(size)) })
		panics(t, func() { _ = r.GetInto(t.Context(), nil) })
		got, err := r.Get(t.Context())
		check(t, err)
		checkBytes(t, got, pattern(size))
		check(t, <-put)
	}
}

// TestNilCtxLeavesTheEndUsable: a call with it panics, and locks nobody out.
func TestNilCtxLeavesTheEndUsable(t *testing.T) {
	bounded(t)
	r, w := rawPipe(t, rawOptions)
	var none context.Context
	panics(t, func() { _ = w.Put(none, []byte("x")) })
	panics(t, func() { _ = w.Flush(none) })
	panics(t, func() { w.Chan(none) })
	panics(t, func() { _, _ = r.Get(none) })
	check(t, w.Put(t.Context(), []byte("y")))
	v, err := r.Get(t.Context())
	check(t, err)
	checkEqual(t, string(v), "y")
	check(t, w.TryClose())
	check(t, r.TryClose())
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
	bounded(t)
	codec := CodecFunc("self-contained", appendSelfContained, decodeSelfContained)
	r, w, err := Pipe(&Options[selfContained]{Codec: codec})
	check(t, err)
	texts := []string{"first", "other"}
	var got []selfContained
	for _, text := range texts {
		check(t, w.Put(t.Context(), selfContained{text: []byte(text)}))
		v, err := r.Get(t.Context())
		check(t, err)
		got = append(got, v)
	}
	for i, text := range texts {
		checkEqual(t, string(got[i].text), text)
	}
	check(t, errors.Join(w.Close(), r.Close()))
}

func panics(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}

// TestAllGoesOnBehindAMessageThatIsNoValue: and stops at any other error.
func TestAllGoesOnBehindAMessageThatIsNoValue(t *testing.T) {
	stream := appendFrame(nil, []byte{byteTrue})
	stream = appendFrame(stream, []byte("no bool"))
	stream = appendFrame(stream, pattern(100))
	stream = appendFrame(stream, []byte{byteFalse})
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
			checkIs(t, err, io.ErrUnexpectedEOF)
			got = append(got, "cut")
		default:
			got = append(got, fmt.Sprint(v))
		}
	}
	checkEqual(t, strings.Join(got, " "), "true decode size false cut")
}

// TestStatsCount: messages, bytes and calls of the system.
func TestStatsCount(t *testing.T) {
	r, w := rawPipe(t, rawOptions)
	pretendRoom(w)(1000)
	for range 10 {
		check(t, w.Put(t.Context(), pattern(100)))
	}
	checkEqual(t, w.Stats(), Stats{Sent: 10, BytesSent: 1040, Writes: 10})
	for range 10 {
		_, err := r.Get(t.Context())
		check(t, err)
	}
	checkEqual(t, r.Stats(), Stats{Received: 10, BytesReceived: 1000, Reads: 1})
}

// stdoutHelper is set in a child that is this program, run as what TestLostStdoutIsAnError describes.
const stdoutHelper = "GIPC_TEST_STDOUT"

func init() {
	if os.Getenv(stdoutHelper) == "" {
		return
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		w := NewWriter(f, rawOptions)
		var err error
		for range 3 {
			err = w.Put(context.Background(), []byte("nobody reads this"))
		}
		if !errors.Is(err, ErrPeerClosed) {
			os.Exit(4)
		}
	}
	os.Exit(3)
}

// TestLostStdoutIsAnError: a Writer on standard output or error whose reader is gone gets ErrPeerClosed; the program is
// not killed by SIGPIPE.
func TestLostStdoutIsAnError(t *testing.T) {
	bounded(t)
	r, w, err := os.Pipe()
	check(t, err)
	check(t, r.Close())
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), stdoutHelper+"=1")
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Run()
	check(t, w.Close())
	if cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("the program ended with %v, want exit status 3", err)
	}
}
