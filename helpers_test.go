package gipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience is how long anything may take before it counts as hanging.
const patience = time.Minute

// bounded ends the run, with the stacks of all goroutines, if the test hangs. Tests themselves wait without a limit.
func bounded(t testing.TB) {
	t.Helper()
	timer := time.AfterFunc(patience, func() {
		stacks := make([]byte, 1<<20)
		panic(fmt.Sprintf("%s hangs:\n%s", t.Name(), stacks[:runtime.Stack(stacks, true)]))
	})
	t.Cleanup(func() { timer.Stop() })
}

// eventually waits for what another goroutine is about to do.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience / 2); !happened(); runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatalf("never: %s", what)
		}
	}
}

// check fails the test unless err is nil.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkIs fails the test unless err matches all of want; nil matches no error.
func checkIs(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("error is %v, want %v", err, w)
		}
	}
}

// checkIsNot fails the test if err matches unwanted.
func checkIsNot(t testing.TB, err, unwanted error) {
	t.Helper()
	if errors.Is(err, unwanted) {
		t.Fatalf("error %v matches %v", err, unwanted)
	}
}

func checkEqual[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func checkBytes(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes %.20x…, want %d bytes %.20x…", len(got), got, len(want), want)
	}
}

// started runs f in a goroutine and returns where its result comes out.
func started[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

// callsIn is how many calls are under way on an end.
func (in *inbound) callsIn() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.ops
}

func (out *outbound) callsIn() int {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.ops
}

// underWay waits until n calls are under way on an end.
func underWay(t testing.TB, end interface{ callsIn() int }, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d calls under way", n), func() bool { return end.callsIn() == n })
}

// byteStream is a kind of stream that channels run over.
type byteStream struct {
	name string
	fill int // bytes, more than it holds while nobody reads
	open func(t testing.TB) (io.ReadCloser, io.WriteCloser)
}

var byteStreams = []byteStream{
	{"os.Pipe", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		r, w, err := newPipe(0)
		check(t, err)
		return r, w
	}},
	{"os.Pipe of a page", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		r, w, err := newPipe(pageSize)
		check(t, err)
		return r, w
	}},
	{"io.Pipe", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return io.Pipe() }},
	{"net.Pipe", 1 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return net.Pipe() }},
	{"tcp", 32 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return connected(t, "tcp", "127.0.0.1:0") }},
	{"unix", 2 << 20, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		skipUnderWine(t, "it has no AF_UNIX sockets")
		return connected(t, "unix", filepath.Join(t.TempDir(), "s"))
	}},
}

// connected returns the two ends of a socket.
func connected(t testing.TB, network, address string) (accepted, dialed net.Conn) {
	l, err := net.Listen(network, address)
	check(t, err)
	defer l.Close()
	dialing := started(func() error { dialed, err = net.Dial(network, l.Addr().String()); return err })
	accepted, acceptErr := l.Accept()
	check(t, errors.Join(acceptErr, <-dialing))
	return accepted, dialed
}

var rawOptions = &Options[[]byte]{Codec: Raw{}}

// rawChannel returns a channel of bytes over a stream, closed with the test.
func (s byteStream) rawChannel(t testing.TB, opts *Options[[]byte]) (*Reader[[]byte], *Writer[[]byte]) {
	rs, ws := s.open(t)
	r, w := NewReader(rs, opts), NewWriter(ws, opts)
	closeAtEnd(t, r, w)
	return r, w
}

// rawPipe returns a channel of bytes over a pipe, closed with the test.
func rawPipe(t testing.TB, opts *Options[[]byte]) (*Reader[[]byte], *Writer[[]byte]) {
	r, w, err := Pipe(opts)
	check(t, err)
	closeAtEnd(t, r, w)
	return r, w
}

func closeAtEnd[A, B any](t testing.TB, r *Reader[A], w *Writer[B]) {
	t.Cleanup(func() {
		_ = w.CloseNow() // the test may have closed either
		_ = r.Close()
	})
}

// onEachStream runs a test over every kind of stream.
func onEachStream(t *testing.T, test func(t *testing.T, s byteStream)) {
	for _, s := range byteStreams {
		t.Run(s.name, func(t *testing.T) {
			bounded(t)
			test(t, s)
		})
	}
}

// scaled is how often a test does something n times: less where that is slow or shall be short.
func scaled(n int) int {
	if testing.Short() || raceEnabled() {
		return max(1, n/8)
	}
	return n
}

// raceEnabled says whether the race detector is built in.
var raceEnabled = sync.OnceValue(func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
})

// patternBytes has different bytes at nearby places, so that a shifted or repeated piece shows. It is made when a test
// first needs it, not in every child that is this program too.
var patternBytes = sync.OnceValue(func() []byte {
	b := make([]byte, 2<<20)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
})

// pattern returns n bytes, up to 2 MiB, that nobody may change.
func pattern(n int) []byte { return patternBytes()[:n:n] }

const stampSize = 16

// stamped returns a message that says who sent it as his which one, with contents that follow from that.
func stamped(producer, seq, size int) []byte {
	size = max(size, stampSize)
	b := make([]byte, 0, size)
	b = binary.BigEndian.AppendUint64(b, uint64(producer))
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	return append(b, stampedRest(producer, seq, size)...)
}

func stampedRest(producer, seq, size int) []byte {
	at := (producer*131 + seq*17) % 1021
	return patternBytes()[at : at+size-stampSize]
}

// readStamp checks a whole message that stamped made.
func readStamp(t testing.TB, b []byte) (producer, seq int) {
	t.Helper()
	if len(b) < stampSize {
		t.Fatalf("message of %d bytes", len(b))
	}
	producer, seq = int(binary.BigEndian.Uint64(b)), int(binary.BigEndian.Uint64(b[8:]))
	if producer < 0 || producer > 1000 || !bytes.Equal(b[stampSize:], stampedRest(producer, seq, len(b))) {
		t.Fatalf("message torn: %d bytes %.40x…", len(b), b)
	}
	return producer, seq
}

// getStamped gets n messages that stamped made, numbered from first on.
func getStamped(t testing.TB, r *Reader[[]byte], first, n int) {
	t.Helper()
	for i := range n {
		v, err := r.Get(t.Context())
		check(t, err)
		_, seq := readStamp(t, v)
		checkEqual(t, seq, first+i)
	}
}

// fillSize is the size of messages that fill a pipe to its last byte: it takes each of their frames whole or not at all.
const fillSize = pageSize - shortHeader

// filled puts messages of fillSize until the pipe takes no more, and returns how many are in it.
func filled(t testing.TB, w *Writer[[]byte]) (messages int) {
	t.Helper()
	for wait := 5 * time.Millisecond; wait < 300*time.Millisecond; {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		err := w.Put(ctx, pattern(fillSize))
		cancel()
		if err == nil || errors.Is(err, ErrPartial) { // Windows may write a frame in two pieces
			messages++
			continue
		}
		checkIs(t, err, context.DeadlineExceeded)
		wait *= 8 // it may have been a slow machine
	}
	return messages
}

// allocates returns how many bytes f allocates. What is above limit is measured again, twice at most: other goroutines, such as
// those of an earlier test that are about to end, allocate too.
func allocates(limit uint64, f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
		if least <= limit {
			break
		}
	}
	return least
}
