package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/go-gipc/gipc/internal/stream"
	"github.com/go-gipc/gipc/internal/test"
)

// outcome is what one Get returned, in words.
type outcome string

// referenceRead says what a Reader has to return for a input, one Get after the other up to the end. It is naive: it
// has all bytes at hand.
func referenceRead(input []byte, maxMessage int) (outcomes []outcome) {
	for {
		if len(input) == 0 {
			return append(outcomes, "EOF")
		}
		if len(input) < 4 {
			return append(outcomes, "cut")
		}
		length := uint64(binary.BigEndian.Uint32(input))
		input = input[4:]
		if length == math.MaxUint32 {
			if len(input) < 8 {
				return append(outcomes, "cut")
			}
			length = binary.BigEndian.Uint64(input)
			input = input[8:]
		} else if length > math.MaxInt32 {
			return append(outcomes, "garbage")
		}
		refused := length > uint64(maxMessage)
		if refused {
			outcomes = append(outcomes, outcome(fmt.Sprint("too large: ", length)))
		}
		if uint64(len(input)) < length {
			return append(outcomes, "cut")
		}
		if !refused {
			outcomes = append(outcomes, outcome("message "+string(input[:length])))
		}
		input = input[length:]
	}
}

// readAll does the same with a Reader, up to an end that is for ever.
func readAll(t *testing.T, r *reader, reuse bool) (outcomes []outcome) {
	var v []byte
	for {
		if !reuse {
			v = nil
		}
		err := r.GetInto(t.Context(), &v)
		var size *SizeError
		switch {
		case err == nil:
			outcomes = append(outcomes, outcome("message "+string(v)))
			continue
		case errors.As(err, &size):
			outcomes = append(outcomes, outcome(fmt.Sprint("too large: ", size.Size)))
			continue
		case err == io.EOF:
			outcomes = append(outcomes, "EOF")
		case errors.Is(err, io.ErrUnexpectedEOF):
			outcomes = append(outcomes, "cut")
		case errors.Is(err, ErrFrame):
			outcomes = append(outcomes, "garbage")
		default:
			t.Fatalf("unforeseen error: %v", err)
		}
		if again := r.GetInto(t.Context(), &v); again == nil || again.Error() != err.Error() {
			t.Fatalf("the end was %v, then %v", err, again)
		}
		return outcomes
	}
}

// splitStream delivers bytes in pieces whose sizes come from cuts, over and over; a piece of 0 is a Read of nothing. What
// lies before the fine end comes in pieces as large as there is room.
type splitStream struct {
	rest  []byte
	fine  int
	cuts  []byte
	reads int
}

func (s *splitStream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	s.reads++
	n := len(p)
	if coarse := len(s.rest) - s.fine; coarse > 0 {
		n = min(n, coarse)
	} else if len(s.cuts) > 0 {
		n = min(n, int(s.cuts[s.reads%len(s.cuts)]))
		if s.reads%20 == 0 {
			n = max(n, 1) // a stream that never gets on is an error
		}
	}
	n = copy(p[:n], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *splitStream) Close() error { return nil }

// FuzzFrames: whatever the stream holds, a Reader returns what a naive reader would, however the stream is split, whatever
// kind of stream it is and wherever the messages go; it never panics, and allocates in proportion to the bytes that come.
func FuzzFrames(f *testing.F) {
	for _, h := range headers {
		f.Add(h.header, []byte{1}, uint32(1000), uint16(0))
		f.Add(append(slices.Clone(h.header), "abc"...), []byte{2, 3}, uint32(2), uint16(0))
	}
	f.Add(appendFrame(appendFrame(nil, []byte("one")), []byte("two, longer")), []byte{5, 1}, uint32(5), uint16(2))
	f.Add([]byte{0x80, 0, 0, 0, 1, 2, 3}, []byte{}, uint32(10), uint16(0))
	f.Add(appendFrame(nil, nil), []byte{255}, uint32(70_000), uint16(stream.ChunkSize-6))
	f.Add(bytes.Repeat([]byte{0, 0, 0, 1, 'x'}, 80), []byte{0}, uint32(10), uint16(0)) // Reads of nothing cost nothing
	f.Add(appendFrame(nil, []byte("x")), []byte{255, 0, 9}, uint32(70_000), uint16(stream.ChunkSize-1))
	f.Fuzz(func(t *testing.T, tail, cuts []byte, limit uint32, filler uint16) {
		test.Bounded(t)
		maxMessage := int(limit%200_000) + 1
		input := appendFrame(nil, test.Pattern(int(filler))) // moves the tail about the edges of the chunks
		input = append(input, tail...)
		want := referenceRead(input, maxMessage)
		for i, open := range []func(*splitStream) io.ReadCloser{
			func(s *splitStream) io.ReadCloser { return s },
			func(s *splitStream) io.ReadCloser { return &withDeadlines{s} },
		} {
			for _, copied := range []bool{false, true} {
				read := func() (reads int) {
					s := &splitStream{rest: bytes.Clone(input), fine: len(tail) + 100, cuts: cuts}
					r := newReader(open(s), &options{Copied: copied, MaxMessage: maxMessage})
					if got := readAll(t, r, i == 0); !slices.Equal(got, want) {
						t.Fatalf("copied %v, stream %T: got %.200q, want %.200q", copied, open(s), got, want)
					}
					test.Check(t, r.Close())
					return s.reads
				}
				most := uint64(20*len(input) + 500*read() + 4<<20)
				used := test.Allocates(most, func() { read() })
				if used > most {
					t.Fatalf("%d bytes of input made it allocate %d", len(input), used)
				}
			}
		}
	})
}

// FuzzWriter: whatever is Put, in whatever way, the stream holds what a naive writer would have written.
func FuzzWriter(f *testing.F) {
	f.Add([]byte{0, 1, 5}, uint16(0))
	f.Add([]byte{200, 255, 17, 3}, uint16(100))
	f.Fuzz(func(t *testing.T, sizes []byte, buffer uint16) {
		test.Bounded(t)
		if len(sizes) > 50 {
			sizes = sizes[:50]
		}
		for _, deadlines := range []bool{false, true} {
			for _, copied := range []bool{false, true} {
				var got, want bytes.Buffer
				input := io.WriteCloser(&fakeStream{write: got.Write})
				if deadlines {
					input = &writerWithDeadlines{input}
				}
				w := newWriter(input, &options{Copied: copied, Buffer: int(buffer)})
				for _, s := range sizes {
					message := test.Pattern(int(s) * int(s) * 5) // up to 325 kB
					test.Check(t, w.Put(t.Context(), message))
					want.Write(binary.BigEndian.AppendUint32(nil, uint32(len(message))))
					want.Write(message)
				}
				test.Check(t, w.Close())
				test.Bytes(t, got.Bytes(), want.Bytes())
			}
		}
	})
}
