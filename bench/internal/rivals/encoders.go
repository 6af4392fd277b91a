package rivals

import (
	"encoding/gob"
	"encoding/json"
	"io"

	"github.com/fxamacker/cbor/v2"

	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// The packages whose Encoder and Decoder work on a stream. Each message is one Write of the Encoder.
var (
	gobPipe = encoderPipe(links{name: "gob", about: "os/exec, gob.Encoder and gob.Decoder on pipes", locked: true},
		func(r io.Reader, w io.Writer) (encode, decode func(any) error) {
			return gob.NewEncoder(w).Encode, gob.NewDecoder(r).Decode
		})
	jsonPipe = encoderPipe(links{name: "json", about: "os/exec, json.Encoder and json.Decoder on pipes"},
		func(r io.Reader, w io.Writer) (encode, decode func(any) error) {
			return json.NewEncoder(w).Encode, json.NewDecoder(r).Decode
		})
	cborPipe = encoderPipe(links{name: "cbor", about: "os/exec, cbor.Encoder and cbor.Decoder on pipes, times with all their digits",
		module: "github.com/fxamacker/cbor/v2"},
		func(r io.Reader, w io.Writer) (encode, decode func(any) error) {
			return cborMode.NewEncoder(w).Encode, cbor.NewDecoder(r).Decode
		})
)

var cborMode = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Time: cbor.TimeRFC3339NanoUTC}.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func encoderPipe(l links, coders func(io.Reader, io.Writer) (encode, decode func(any) error)) *links {
	l.raw = func(r io.ReadCloser, w io.WriteCloser) work.Conn[[]byte] {
		encode, decode := coders(r, w)
		return &encoded[[]byte]{encode, decode, w}
	}
	l.record = func(r io.ReadCloser, w io.WriteCloser) work.Conn[record.Record] {
		encode, decode := coders(r, w)
		return &fresh{encoded[record.Record]{encode, decode, w}}
	}
	return l.register()
}

type encoded[T any] struct {
	encode, decode func(any) error
	w              io.Closer
}

func (e *encoded[T]) Send(v T) error  { return e.encode(v) }
func (e *encoded[T]) Recv(v *T) error { return e.decode(v) }
func (e *encoded[T]) Close() error    { return e.w.Close() }

// fresh decodes each record into a zero one: these packages leave what a message doesn't have, and merge maps.
type fresh struct{ encoded[record.Record] }

func (f *fresh) Recv(v *record.Record) error {
	*v = record.Record{}
	return f.encoded.Recv(v)
}
