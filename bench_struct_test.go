package gipc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"testing"
	"time"
)

// benchStruct is what programs send: some numbers, some text, a list, a map, a time, some bytes.
type benchStruct struct {
	ID    uint64
	Name  string
	Tags  []string
	Attrs map[string]string
	Score float64
	When  time.Time
	Blob  []byte
}

func newBenchStruct() benchStruct {
	return benchStruct{
		ID: 1 << 20, Name: "holiday/2026/cat.png", Tags: []string{"cat", "holiday", "draft"},
		Attrs: map[string]string{"colour": "red", "size": "large", "shape": "round"},
		Score: 0.75, When: time.Date(2026, 3, 4, 5, 6, 7, 800_900, time.UTC), Blob: make([]byte, 64),
	}
}

// benchByHand has the codec that one would write by hand. It is another type, because gob would use its methods.
type benchByHand benchStruct

func (s *benchByHand) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendUvarint(b, s.ID)
	b = appendText(b, s.Name)
	b = binary.AppendUvarint(b, uint64(len(s.Tags)))
	for _, tag := range s.Tags {
		b = appendText(b, tag)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Attrs)))
	for key, value := range s.Attrs {
		b = appendText(appendText(b, key), value)
	}
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(s.Score))
	b = binary.BigEndian.AppendUint64(b, uint64(s.When.UnixNano()))
	return appendText(b, s.Blob), nil
}

func appendText[S string | []byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (s *benchByHand) UnmarshalBinary(b []byte) error {
	r := textReader{b: b}
	s.ID = r.number()
	s.Name = string(r.text())
	for range r.number() {
		s.Tags = append(s.Tags, string(r.text()))
	}
	n := r.number()
	s.Attrs = make(map[string]string, min(n, 16))
	for range n {
		key := string(r.text())
		s.Attrs[key] = string(r.text())
	}
	s.Score = math.Float64frombits(r.fixed())
	s.When = time.Unix(0, int64(r.fixed())).UTC()
	s.Blob = append(s.Blob, r.text()...)
	return r.err
}

type textReader struct {
	b   []byte
	err error
}

func (r *textReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	return r.take(n, size)
}

func (r *textReader) fixed() uint64 {
	if len(r.b) < 8 {
		return r.take(0, 0)
	}
	return r.take(binary.BigEndian.Uint64(r.b), 8)
}

func (r *textReader) take(n uint64, size int) uint64 {
	if size <= 0 {
		r.b, r.err = nil, errors.New("cut short")
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *textReader) text() []byte {
	n := min(r.number(), uint64(len(r.b)))
	text := r.b[:n]
	r.b = r.b[n:]
	return text
}

// BenchmarkCodec encodes and decodes in memory, each time into a fresh value.
func BenchmarkCodec(b *testing.B) {
	benchCodec(b, CBOR[benchStruct]{}, newBenchStruct())
	benchCodec(b, JSON[benchStruct]{}, newBenchStruct())
	benchCodec(b, Binary[benchByHand]{}, benchByHand(newBenchStruct()))
	b.Run("codec=gob/op=append+decode", func(b *testing.B) {
		v := newBenchStruct()
		var stream bytes.Buffer
		enc, dec := gob.NewEncoder(&stream), gob.NewDecoder(&stream)
		b.ReportAllocs()
		for b.Loop() {
			var got benchStruct
			if err := errors.Join(enc.Encode(&v), dec.Decode(&got)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchCodec[T any](b *testing.B, codec Codec[T], v T) {
	msg, err := codec.Append(nil, v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("codec="+codec.Name()+"/op=append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if msg, err = codec.Append(msg[:0], v); err != nil {
				b.Fatal(err)
			}
		}
	})
	decode := func(name string, place func() *T) {
		b.Run("codec="+codec.Name()+"/op="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.Decode(msg, place()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	used := new(T)
	decode("decode", func() *T { return new(T) })
	decode("decode into", func() *T { return used })
}

type benchStructsArgs[T any] struct {
	In  *Reader[T]
	Ack *os.File
}

var (
	benchStructs = registerStructs("bench structs", func(v benchStruct) uint64 { return v.ID })
	benchByHands = registerStructs("bench structs by hand", func(v benchByHand) uint64 { return v.ID })
)

// registerStructs registers what answers the message whose ID is lastMark with a byte.
func registerStructs[T any](name string, id func(T) uint64) *Entrypoint[benchStructsArgs[T]] {
	return Register(name, func(ctx context.Context, a benchStructsArgs[T]) error {
		for v, err := range a.In.All(ctx) {
			if err != nil {
				return err
			}
			if err := ackLast(id(v), a.Ack); err != nil {
				return err
			}
		}
		return nil
	})
}

func ackLast(id uint64, ack *os.File) error {
	if id != lastMark {
		return nil
	}
	_, err := ack.Write([]byte{1})
	return err
}

// floorStructs is the floor's child: it decodes messages by hand, or by gob, each into a fresh value.
func floorStructs(in, ack *os.File, byGob bool) {
	r := bufio.NewReaderSize(in, chunkSize)
	dec := gob.NewDecoder(r)
	var msg []byte
	for {
		var v benchStruct
		var err error
		if byGob {
			err = dec.Decode(&v)
		} else if msg, err = floorRead(r, msg); err == nil {
			err = (*benchByHand)(&v).UnmarshalBinary(msg)
		}
		if err == io.EOF {
			return
		}
		if err = errors.Join(err, ackLast(v.ID, ack)); err != nil {
			panic(err)
		}
	}
}

// structStream makes a stream of put, whose last message makes the child answer.
func structStream(b *testing.B, ack *os.File, put func(*benchStruct) error) stream {
	v := newBenchStruct()
	return func(n int) time.Duration {
		start := time.Now()
		for i := range n {
			v.ID = 1 << 20
			if i == n-1 {
				v.ID = lastMark
			}
			if err := put(&v); err != nil {
				b.Fatal(err)
			}
		}
		awaitAck(b, ack)
		return time.Since(start)
	}
}

func floorStructStream(b *testing.B, byGob bool) (_ stream, stop func()) {
	in, w := pipe(b)
	ackR, ack := pipe(b)
	mode, enc := "structs", gob.NewEncoder(w)
	var frame []byte
	put := func(v *benchStruct) error {
		frame, _ = (*benchByHand)(v).AppendBinary(append(frame[:0], 0, 0, 0, 0))
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
		_, err := w.Write(frame)
		return err
	}
	if byGob {
		mode, put = "gob", func(v *benchStruct) error { return enc.Encode(v) }
	}
	cmd := startFloor(b, mode, in, ack)
	return structStream(b, ackR, put), func() {
		w.Close()
		ackR.Close()
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

func ourStructStream[T any](b *testing.B, e *Entrypoint[benchStructsArgs[T]], of func(*benchStruct) T, opts Options[T]) (_ stream, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	r, w, err := Pipe(&opts)
	if err != nil {
		b.Fatal(err)
	}
	ackR, ack := pipe(b)
	p, err := Spawn(ctx, e, benchStructsArgs[T]{In: r, Ack: ack}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return structStream(b, ackR, func(v *benchStruct) error { return w.Put(ctx, of(v)) }), func() {
		if err := errors.Join(w.Close(), p.Wait(ctx)); err != nil {
			b.Fatal(err)
		}
		ackR.Close()
		cancel()
	}
}

// BenchmarkRatioStruct sends structs to a child. The floor is a codec written by hand, or encoding/gob, one write a message.
func BenchmarkRatioStruct(b *testing.B) {
	same := func(v *benchStruct) benchStruct { return *v }
	byHand := func(v *benchStruct) benchByHand { return benchByHand(*v) }
	for _, buffer := range []int{0, 64 << 10} {
		cbor := func(b *testing.B) (stream, func()) {
			return ourStructStream(b, benchStructs, same, Options[benchStruct]{Buffer: buffer})
		}
		binary := func(b *testing.B) (stream, func()) {
			return ourStructStream(b, benchByHands, byHand, Options[benchByHand]{Codec: Binary[benchByHand]{}, Buffer: buffer})
		}
		for _, c := range []struct {
			name string
			gob  bool
			ours func(*testing.B) (stream, func())
		}{
			{"codec=cbor/floor=gob", true, cbor},
			{"codec=cbor/floor=hand", false, cbor},
			{"codec=binary/floor=hand", false, binary},
		} {
			b.Run(fmt.Sprintf("%s/buffer=%d", c.name, buffer), func(b *testing.B) {
				floor, stopFloor := floorStructStream(b, c.gob)
				ours, stopOurs := c.ours(b)
				ratio(b, 20_000, floor, ours)
				stopOurs()
				stopFloor()
			})
		}
	}
}
