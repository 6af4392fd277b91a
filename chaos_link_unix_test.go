//go:build unix

package gipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/go-gipc/gipc/internal/test"
)

// What the processes of TestChaos send to each other.

// chaosMessage is a message of a link. All of it follows from the link and the message's number, so that whoever gets it knows
// what it must be.
type chaosMessage struct {
	Lane, Seq int
	Body      []byte
}

func (m chaosMessage) AppendBinary(dst []byte) ([]byte, error) {
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.Lane))
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.Seq))
	return append(dst, m.Body...), nil
}

func (m *chaosMessage) UnmarshalBinary(src []byte) error {
	if len(src) < 8 {
		return fmt.Errorf("%d bytes", len(src))
	}
	m.Lane, m.Seq = int(binary.BigEndian.Uint32(src)), int(binary.BigEndian.Uint32(src[4:]))
	m.Body = append(m.Body[:0], src[8:]...)
	return nil
}

// chaosCodecs are those of typed links. A link without one has the bodies alone, as Raw.
var chaosCodecs = map[string]Codec[chaosMessage]{
	"cbor":   CBOR[chaosMessage]{},
	"json":   JSON[chaosMessage]{},
	"binary": Binary[chaosMessage]{},
	"own": CodecFunc("test chaos",
		func(dst []byte, m chaosMessage) ([]byte, error) { return m.AppendBinary(append(dst, '!')) },
		func(src []byte, m *chaosMessage) error {
			rest, found := bytes.CutPrefix(src, []byte("!"))
			if !found {
				return errors.New("no mark")
			}
			return m.UnmarshalBinary(rest)
		}),
}

func init() { RegisterCodec(chaosCodecs["own"]) }

// chaosLink is a channel between two processes.
type chaosLink struct {
	ID     int
	Seed   uint64
	Codec  string // of chaosCodecs; "": Raw
	Buffer int
	Pipe   int // Options.PipeSize
	Shared int // Options.Shared
	Lanes  int // goroutines that put
	N      int // messages of each
}

func newChaosLink(id int, rng *rand.Rand) chaosLink {
	codecs := []string{"", "", "cbor", "json", "binary", "own"}
	link := chaosLink{
		ID: id, Seed: rng.Uint64(), Codec: codecs[rng.IntN(len(codecs))], Lanes: 1, N: rng.IntN(120),
		Buffer: []int{0, 0, 0, 200, 100_000, 20 << 20}[rng.IntN(6)], Pipe: []int{0, 0, pageSize, 1 << 20}[rng.IntN(4)],
		Shared: []int{0, 0, pageSize, 1 << 20}[rng.IntN(4)],
	}
	if link.Codec != "" {
		link.Lanes += rng.IntN(3)
	}
	return link
}

// message is the one with that number.
func (l chaosLink) message(lane, seq int) chaosMessage {
	rng := rand.New(rand.NewPCG(l.Seed, uint64(lane)<<32|uint64(seq)))
	size := rng.IntN(300)
	switch kind := rng.IntN(400); {
	case kind < 50:
		size = 0
	case kind < 150:
		size = rng.IntN(5000)
	case kind < 180:
		size = rng.IntN(200_000)
	case kind == 180:
		size = rng.IntN(8<<20 + 1)
	case kind == 181:
		size = 8 << 20
	}
	m := chaosMessage{Lane: lane, Seq: seq, Body: make([]byte, 0, size)}
	for left := size; left > 0; left = size - len(m.Body) {
		at := rng.IntN(1 << 20)
		m.Body = append(m.Body, test.PatternBytes()[at:at+min(left, 1<<20)]...)
	}
	return m
}

func (l chaosLink) open() (chaosIn, chaosOut, error) {
	in, out := chaosIn{Link: l, At: make([]int, l.Lanes)}, chaosOut{Link: l, At: make([]int, l.Lanes)}
	var err error
	if l.Codec == "" {
		in.Raw, out.Raw, err = Pipe(&Options[[]byte]{Codec: Raw{}, Buffer: l.Buffer, PipeSize: l.Pipe, Shared: l.Shared})
	} else {
		in.Typed, out.Typed, err = Pipe(&Options[chaosMessage]{Codec: chaosCodecs[l.Codec], Buffer: l.Buffer, PipeSize: l.Pipe, Shared: l.Shared})
	}
	return in, out, err
}

// chaosIn is a link's reading end.
type chaosIn struct {
	Link  chaosLink
	Typed *Reader[chaosMessage]
	Raw   *Reader[[]byte]
	At    []int // the next number of each lane
}

// note checks a message and takes note of it.
func (in *chaosIn) note(m chaosMessage) error {
	if m.Lane < 0 || m.Lane >= len(in.At) {
		return fmt.Errorf("link %d: a message of lane %d", in.Link.ID, m.Lane)
	}
	want := in.Link.message(m.Lane, in.At[m.Lane])
	if in.Typed != nil && m.Seq != want.Seq || !bytes.Equal(m.Body, want.Body) {
		return fmt.Errorf("link %d, lane %d: message %d of %d bytes in place of message %d of %d bytes",
			in.Link.ID, m.Lane, m.Seq, len(m.Body), want.Seq, len(want.Body))
	}
	in.At[m.Lane]++
	return nil
}

// all says whether all messages came.
func (in *chaosIn) all() bool {
	for _, next := range in.At {
		if next < in.Link.N {
			return false
		}
	}
	return true
}

func (in *chaosIn) get(ctx context.Context) (m chaosMessage, err error) {
	if in.Typed != nil {
		return in.Typed.Get(ctx)
	}
	m.Body, err = in.Raw.Get(ctx)
	return m, err
}

// getInto gets into a used value.
func (in *chaosIn) getInto(ctx context.Context, m *chaosMessage) error {
	if in.Typed != nil {
		return in.Typed.GetInto(ctx, m)
	}
	m.Lane, m.Seq = 0, 0
	return in.Raw.GetInto(ctx, &m.Body)
}

func (in *chaosIn) close() error {
	if in.Typed != nil {
		return in.Typed.Close()
	}
	return in.Raw.Close()
}

// chaosOut is a link's writing end.
type chaosOut struct {
	Link  chaosLink
	Typed *Writer[chaosMessage]
	Raw   *Writer[[]byte]
	At    []int // the next number of each lane
}

func (out *chaosOut) put(ctx context.Context, m chaosMessage) error {
	if out.Typed != nil {
		return out.Typed.Put(ctx, m)
	}
	return out.Raw.Put(ctx, m.Body)
}

// end is the writing end as something to flush and to close.
func (out *chaosOut) end() interface {
	Flush(ctx context.Context) error
	Close() error
	CloseNow() error
	TryClose() error
} {
	if out.Typed != nil {
		return out.Typed
	}
	return out.Raw
}
