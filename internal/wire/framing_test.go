package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
)

// headers pairs lengths with their headers, as docs/protocol.md has them.
var headers = []struct {
	length uint64
	header []byte
}{
	{0, []byte{0, 0, 0, 0}},
	{1, []byte{0, 0, 0, 1}},
	{256, []byte{0, 0, 1, 0}},
	{1 << 16, []byte{0, 1, 0, 0}},
	{math.MaxInt32 - 1, []byte{0x7f, 0xff, 0xff, 0xfe}},
	{math.MaxInt32, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff}},
	{1 << 32, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0}},
	{math.MaxInt64, []byte{0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
}

// TestHeaderIsTheWireFormat: what is written is what docs/protocol.md and Python's Connection say, and it is read back.
func TestHeaderIsTheWireFormat(t *testing.T) {
	for _, h := range headers {
		if h.length > math.MaxInt { // none that this machine could write
			continue
		}
		test.Bytes(t, appendHeader([]byte("x"), int(h.length)), append([]byte("x"), h.header...))
		for n := range h.header {
			size, _, err := parseHeader(h.header[:n])
			test.Check(t, err)
			test.Equal(t, size, 0)
		}
		size, length, err := parseHeader(append(h.header, 1, 2, 3))
		test.Check(t, err)
		test.Equal(t, size, len(h.header))
		test.Equal(t, length, h.length)
	}
	// A reader takes what a writer doesn't write: 2147483647 in 4 bytes, as gipc for Python has it, and a small number in 8.
	size, length, err := parseHeader([]byte{0x7f, 0xff, 0xff, 0xff})
	test.Check(t, err)
	test.Equal(t, size, shortHeader)
	test.Equal(t, length, math.MaxInt32)
	size, length, err = parseHeader([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5})
	test.Check(t, err)
	test.Equal(t, size, longHeader)
	test.Equal(t, length, 5)
}

// TestGarbageIsErrFrame: a length that can't be one ends the stream for good, whatever follows.
func TestGarbageIsErrFrame(t *testing.T) {
	for _, header := range []uint32{1 << 31, 1<<31 + 1, math.MaxUint32 - 1, 0xfefefefe} {
		input := appendFrame(nil, []byte("fine"))
		input = binary.BigEndian.AppendUint32(input, header)
		input = appendFrame(input, []byte("behind"))
		r := readerOf(input)
		v, err := r.Get(t.Context())
		test.Check(t, err)
		test.Equal(t, string(v), "fine")
		for range 3 {
			_, err = r.Get(t.Context())
			test.Is(t, err, ErrFrame)
		}
		test.Check(t, r.Close())
	}
}

// TestTheEndIsExact: io.EOF only between messages, io.ErrUnexpectedEOF for a cut at every place inside one, the header
// included; and that is the answer for ever.
func TestTheEndIsExact(t *testing.T) {
	longSmall := append([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5}, "short"...)
	for _, c := range []struct {
		name  string
		frame []byte
		cuts  []int // empty: every place
	}{
		{"empty", appendFrame(nil, nil), nil},
		{"short header", appendFrame(nil, test.Pattern(50)), nil},
		{"long header", longSmall, nil},
		{"chunk", appendFrame(nil, test.Pattern(stream.ChunkSize)), []int{0, 1, 3, 4, 5, 511, 512, 513, stream.ChunkSize - 1, stream.ChunkSize, stream.ChunkSize + 1, stream.ChunkSize + 3}},
		{"large", appendFrame(nil, test.Pattern(200<<10)), []int{0, 1, 2, 3, 4, 5, 8, stream.ChunkSize - 1, stream.ChunkSize, stream.ChunkSize + 1, 2 * stream.ChunkSize, 200<<10 + 3}},
		{"refused", appendFrame(nil, test.Pattern(maxForCuts+1)), []int{0, 1, 3, 4, 5, stream.ChunkSize, maxForCuts, maxForCuts + 4}},
	} {
		cuts := c.cuts
		if cuts == nil {
			for n := range c.frame {
				cuts = append(cuts, n)
			}
		}
		for _, cut := range cuts {
			for _, before := range []int{0, 1, 3} { // whole messages before the cut one
				t.Run(fmt.Sprintf("%s/%d/%d", c.name, cut, before), func(t *testing.T) { checkCut(t, c.frame, cut, before) })
			}
		}
	}
}

const maxForCuts = 300 << 10

func checkCut(t *testing.T, frame []byte, cut, before int) {
	test.Bounded(t)
	input := append(bytes.Repeat(frame, before), frame[:cut]...)
	want := io.ErrUnexpectedEOF
	if cut == 0 {
		want = io.EOF
	}
	for name, rd := range waysToRead(input) {
		r := newReader(rd, &options{MaxMessage: maxForCuts})
		for range before {
			_, err := r.Get(t.Context())
			if len(frame) > maxForCuts {
				var size *SizeError
				if !errors.As(err, &size) {
					t.Fatalf("%s: %v, want *SizeError", name, err)
				}
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		_, err := r.Get(t.Context())
		var size *SizeError
		if errors.As(err, &size) {
			_, err = r.Get(t.Context())
		}
		test.Is(t, err, want)
		if want == io.EOF && err != io.EOF {
			t.Fatalf("%s: io.EOF is wrapped: %v", name, err)
		}
		_, err = r.Get(t.Context())
		test.Is(t, err, want)
		test.Check(t, r.Close())
	}
}

// waysToRead delivers the same bytes in different pieces.
func waysToRead(input []byte) map[string]io.ReadCloser {
	ways := map[string]io.ReadCloser{
		"at once":        io.NopCloser(bytes.NewReader(input)),
		"data with EOF":  io.NopCloser(iotest.DataErrReader(bytes.NewReader(input))),
		"halves":         io.NopCloser(iotest.HalfReader(bytes.NewReader(input))),
		"deadlines":      &withDeadlines{bytes.NewReader(input)},
		"EOF, deadlines": &withDeadlines{iotest.DataErrReader(bytes.NewReader(input))},
	}
	if len(input) < 1000 {
		ways["bytes"] = io.NopCloser(iotest.OneByteReader(bytes.NewReader(input)))
		ways["bytes, deadlines"] = &withDeadlines{iotest.OneByteReader(bytes.NewReader(input))}
	}
	return ways
}

// TestMemoryFollowsTheBytes: an announced length allocates nothing, only bytes that arrive do.
func TestMemoryFollowsTheBytes(t *testing.T) {
	opts := &options{MaxMessage: math.MaxInt32}
	for _, arrive := range []int{0, 1 << 10, 1 << 20} {
		input := append([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff}, test.Pattern(arrive)...)
		limit := uint64(6*arrive + 8*stream.ChunkSize)
		got := test.Allocates(limit, func() {
			_, err := newReader(io.NopCloser(bytes.NewReader(input)), opts).Get(t.Context())
			test.Is(t, err, io.ErrUnexpectedEOF)
		})
		if got > limit {
			t.Errorf("%d bytes of announced two gibibytes allocated %d bytes, limit %d", arrive, got, limit)
		}
	}
}

// TestGreatestLimitTakesTheGreatestLength: where nothing is refused, the greatest length is that of a message like any other.
func TestGreatestLimitTakesTheGreatestLength(t *testing.T) {
	input := binary.BigEndian.AppendUint64([]byte{0xff, 0xff, 0xff, 0xff}, math.MaxInt)
	input = append(input, test.Pattern(3*stream.ChunkSize)...)
	r := newReader(io.NopCloser(bytes.NewReader(input)), &options{MaxMessage: math.MaxInt})
	_, err := r.Get(t.Context())
	test.Is(t, err, io.ErrUnexpectedEOF)
	test.Equal(t, r.Stats().Reads >= 4, true)
}

// TestHostileLengthIsRefused: lengths far above the limit, up to 2⁶⁴-1, are a *SizeError and allocate nothing.
func TestHostileLengthIsRefused(t *testing.T) {
	for _, length := range []uint64{defaultMaxMessage + 1, 1 << 62, 1 << 63, math.MaxUint64} {
		input := binary.BigEndian.AppendUint64([]byte{0xff, 0xff, 0xff, 0xff}, length)
		input = append(input, test.Pattern(1000)...)
		const limit = 4 * stream.ChunkSize
		got := test.Allocates(limit, func() {
			r := readerOf(input)
			_, err := r.Get(t.Context())
			var size *SizeError
			if !errors.As(err, &size) || size.Size != length || size.Limit != defaultMaxMessage {
				t.Errorf("error is %v, want *SizeError of %d bytes", err, length)
			}
			_, err = r.Get(t.Context())
			test.Is(t, err, io.ErrUnexpectedEOF)
		})
		if got > limit {
			t.Errorf("allocated %d bytes for a length of %d", got, length)
		}
	}
}

// withDeadlines is a stream whose Reads never block, so that its deadlines needn't do anything.
type withDeadlines struct{ io.Reader }

func (*withDeadlines) SetReadDeadline(time.Time) error { return nil }
func (*withDeadlines) Close() error                    { return nil }

func appendFrame(b, payload []byte) []byte {
	return append(appendHeader(b, len(payload)), payload...)
}

func readerOf(input []byte) *reader {
	return newReader(io.NopCloser(bytes.NewReader(input)), nil)
}
