package pool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-gipc/gipc"
)

// What a pool and a worker say to each other. Each message begins with its kind and the number of the task, as 8 bytes,
// big-endian.
type kind byte

// From the pool. A large argument is announced by kindArg and run by kindRun: so a task whose Do leaves while the argument is
// being sent never runs. The task's deadline, if it has one, stands behind the number: the nanoseconds until then.
const (
	kindTask   kind = iota + 1 // deadline, argument: run it
	kindArg                    // deadline, argument
	kindRun                    // run the task of kindArg
	kindCancel                 // why, error: end the task's ctx
)

// From the worker. Each task is answered once.
const (
	kindReady   kind = iota + 0x81 // number 0: tasks may come
	kindResult                     // result
	kindFailure                    // CBOR of failure
	kindDropped                    // the task was cancelled before it ran
	kindWorn                       // number 0: there is too much in memory, another worker should take over
)

const (
	headSize     = 1 + 8
	taskHeadSize = headSize + 8
	atomicSize   = 4096 - 64 // a message up to here is in a pipe as a whole or not at all (PIPE_BUF, pipe(7))
)

var errNoHead = errors.New("a message without a head")

func putHead(b []byte, k kind, id uint64) {
	b[0] = byte(k)
	binary.BigEndian.PutUint64(b[1:], id)
}

func head(k kind, id uint64) []byte {
	b := make([]byte, headSize, headSize+64)
	putHead(b, k, id)
	return b
}

func parseHead(b []byte) (k kind, id uint64, body []byte, err error) {
	if len(b) < headSize {
		return 0, 0, nil, errNoHead
	}
	return kind(b[0]), binary.BigEndian.Uint64(b[1:]), b[headSize:], nil
}

// putTaskHead writes the head of a task, whose deadline may be zero.
func putTaskHead(b []byte, k kind, id uint64, deadline time.Time) {
	putHead(b, k, id)
	var left time.Duration
	if !deadline.IsZero() {
		left = max(time.Until(deadline), 1)
	}
	binary.BigEndian.PutUint64(b[headSize:], uint64(left))
}

func parseDeadline(body []byte) (deadline time.Time, arg []byte, err error) {
	if len(body) < taskHeadSize-headSize {
		return time.Time{}, nil, errNoHead
	}
	if left := time.Duration(binary.BigEndian.Uint64(body)); left > 0 {
		deadline = time.Now().Add(left)
	}
	return deadline, body[taskHeadSize-headSize:], nil
}

// why is the reason for which a task's ctx ends.
type why byte

const (
	whyCanceled why = iota
	whyDeadline     // that of Do's ctx
	whyTimeout      // Options.Timeout
	whyClosed
)

func cancelMessage(id uint64, w why, cause error) []byte {
	b := append(head(kindCancel, id), byte(w))
	if w == whyCanceled || w == whyDeadline {
		b = gipc.AppendRemoteError(b, cause)
	}
	return b
}

func parseCancel(body []byte) (w why, cause error) {
	if len(body) == 0 {
		return whyCanceled, errNoHead
	}
	switch w = why(body[0]); w {
	case whyTimeout:
		return w, ErrTimeout
	case whyClosed:
		return w, ErrClosed
	}
	cause, err := gipc.ParseRemoteError(body[1:])
	if err != nil {
		cause = err
	}
	return w, cause
}

// failure is why a task has no result.
type failure struct {
	Err   []byte // by gipc.AppendRemoteError
	About about
	Type  string // of the value that About is of
	Codec string
	Size  int // of the message; of a result that is too large, in bytes
	Limit int
}

// about says which typed error wraps a failure's error.
type about int

const (
	aboutNothing about = iota
	aboutDecoding
	aboutEncoding
	aboutSize
)

// failureMessage says why the task of this number has no result.
func failureMessage(id uint64, err error) []byte {
	var f failure
	var decode *gipc.DecodeError
	var encode *gipc.EncodeError
	var size *gipc.TooLargeError
	mine, own := err.(*valueError)
	switch {
	case !own:
	case errors.As(mine.error, &decode):
		f = failure{About: aboutDecoding, Type: decode.Type, Codec: decode.Codec, Size: decode.Size}
		err = decode.Err
	case errors.As(mine.error, &encode):
		f = failure{About: aboutEncoding, Type: encode.Type, Codec: encode.Codec}
		err = encode.Err
	case errors.As(mine.error, &size):
		f = failure{About: aboutSize, Size: int(size.Size), Limit: size.Limit}
	}
	f.Err = gipc.AppendRemoteError(nil, err)
	b, err := gipc.CBOR[failure]{}.Append(head(kindFailure, id), f)
	if err != nil {
		panic("gipc/pool: " + err.Error()) // a failure holds nothing that can't be encoded
	}
	return b
}

// valueError is an error about an argument or a result, and not one that the function returned.
type valueError struct{ error }

// parseFailure returns what TaskError wraps.
func parseFailure(body []byte) (taskErr, err error) {
	var f failure
	if err := (gipc.CBOR[failure]{}).Decode(body, &f); err != nil {
		return nil, fmt.Errorf("a failure that can't be decoded: %v", err)
	}
	remote, err := gipc.ParseRemoteError(f.Err)
	if err == nil && remote == nil {
		err = errors.New("a failure without an error")
	}
	if err != nil {
		return nil, err
	}
	switch f.About {
	case aboutDecoding:
		return fmt.Errorf("argument: %w", &gipc.DecodeError{Type: f.Type, Codec: f.Codec, Size: f.Size, Err: remote}), nil
	case aboutEncoding:
		return fmt.Errorf("result: %w", &gipc.EncodeError{Type: f.Type, Codec: f.Codec, Err: remote}), nil
	case aboutSize:
		return tooLarge("result", "MaxResult", f.Size, f.Limit), nil
	}
	return remote, nil
}

// sizeError is a *gipc.TooLargeError that names the pool's option.
type sizeError struct {
	what, option string
	*gipc.TooLargeError
}

func tooLarge(what, option string, size, limit int) error {
	return &sizeError{what, option, &gipc.TooLargeError{Size: uint64(size), Limit: limit}}
}

func (e *sizeError) Error() string {
	return fmt.Sprintf("the encoded %s has %d bytes, more than Options.%s, %d", e.what, e.Size, e.option, e.Limit)
}

func (e *sizeError) Unwrap() error { return e.TooLargeError }

// buffers hold encoded values. What grew above maxPooled is left to the collector.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const maxPooled = 4 << 20 // bytes

func takeBuffer() *[]byte { return buffers.Get().(*[]byte) }

func returnBuffer(b *[]byte) {
	if b != nil && cap(*b) <= maxPooled {
		buffers.Put(b)
	}
}
