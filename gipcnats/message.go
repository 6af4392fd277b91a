package gipcnats

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/pool"
)

// A task's message is its head and the argument's encoding. A result's is its head and what its kind says. A large value is an
// object instead, named as the message's subject.

const (
	format     = 1 // of all messages. Another one is refused
	flagLarge  = 1 // the value is an object
	taskHead   = 1 + 1 + 8 + 8
	resultHead = 1 + 1 + 1
)

var errFormat = errors.New("a message of a format that this program does not know: its sender may be newer")

// taskMessage is what a Client asks for.
type taskMessage struct {
	large bool
	left  time.Duration // until the deadline of Do's ctx; 0: it has none
	lease time.Duration
	arg   []byte
}

// head writes the task's head into b.
func (t *taskMessage) head(b []byte) {
	b[0], b[1] = format, flags(t.large)
	binary.BigEndian.PutUint64(b[2:], uint64(t.left))
	binary.BigEndian.PutUint64(b[10:], uint64(t.lease))
}

func parseTask(b []byte) (t taskMessage, err error) {
	if len(b) < taskHead || b[0] != format {
		return t, errFormat
	}
	t.large = b[1]&flagLarge != 0
	t.left = time.Duration(binary.BigEndian.Uint64(b[2:]))
	t.lease = min(time.Duration(binary.BigEndian.Uint64(b[10:])), stateAge) // longer ones may overflow what is made of them
	t.arg = b[taskHead:]
	if t.left < 0 || t.lease <= 0 {
		return t, errFormat
	}
	return t, nil
}

func flags(large bool) byte {
	if large {
		return flagLarge
	}
	return 0
}

// resultKind says how a task ended.
type resultKind byte

const (
	resultValue   resultKind = iota + 1 // the result's encoding
	resultFailed                        // CBOR of failure: a TaskError
	resultRefused                       // CBOR of failure: the Pool did not take the argument
	resultTimeout                       // nothing: Options.Timeout of the Pool
	resultWorker                        // CBOR of workerFailure
	resultLost                          // nothing: the argument is gone
)

// resultMessage is a result that has arrived.
type resultMessage struct {
	kind  resultKind
	large bool
	body  []byte
}

func parseResult(b []byte) (r resultMessage, err error) {
	if len(b) < resultHead || b[0] != format {
		return r, errFormat
	}
	return resultMessage{resultKind(b[1]), b[2]&flagLarge != 0, b[resultHead:]}, nil
}

// newResult begins the message of a result, to which the value's encoding is appended.
func newResult(kind resultKind) []byte {
	b := make([]byte, resultHead, resultHead+256)
	b[0], b[1] = format, byte(kind)
	return b
}

// resultOf makes the message of a result that is no value.
func resultOf[T any](kind resultKind, body T) []byte {
	b, err := gipc.CBOR[T]{}.Append(newResult(kind), body)
	if err != nil {
		panic("gipcnats: " + err.Error()) // these hold nothing that can't be encoded
	}
	return b
}

// failure is an error of a task, with the types that a caller may look for.
type failure struct {
	Err         []byte // by gipc.AppendRemoteError
	About       about
	Type, Codec string // of the value that About is of
	Size        uint64 // of its encoding, in bytes
	Limit       int
}

// about says which typed error a failure is.
type about int

const (
	aboutNothing about = iota
	aboutDecoding
	aboutEncoding
	aboutSize
)

func newFailure(err error) failure {
	var f failure
	var decode *gipc.DecodeError
	var encode *gipc.EncodeError
	var size *gipc.TooLargeError
	switch {
	case errors.As(err, &decode):
		f.About, f.Type, f.Codec, f.Size = aboutDecoding, decode.Type, decode.Codec, uint64(decode.Size)
		err = decode.Err
	case errors.As(err, &encode):
		f.About, f.Type, f.Codec = aboutEncoding, encode.Type, encode.Codec
		err = encode.Err
	case errors.As(err, &size):
		f.About, f.Size, f.Limit = aboutSize, size.Size, size.Limit
	}
	f.Err = gipc.AppendRemoteError(nil, err)
	return f
}

func (f *failure) error() error {
	remote, err := gipc.ParseRemoteError(f.Err)
	if err != nil {
		return err
	}
	switch f.About {
	case aboutDecoding:
		return &gipc.DecodeError{Type: f.Type, Codec: f.Codec, Size: int(f.Size), Err: remote}
	case aboutEncoding:
		return &gipc.EncodeError{Type: f.Type, Codec: f.Codec, Err: remote}
	case aboutSize:
		return &sizeError{remote, &gipc.TooLargeError{Size: f.Size, Limit: f.Limit}}
	}
	return remote
}

// sizeError is a *gipc.TooLargeError whose text names the option that it is about.
type sizeError struct {
	error
	large *gipc.TooLargeError
}

func (e *sizeError) Unwrap() []error { return []error{e.error, e.large} }

// workerFailure is a *pool.WorkerError.
type workerFailure struct {
	PID, Starts   int
	Name          string
	Code          int
	Signalled     bool
	Asked         bool
	Limit, Panic  string
	Stack, Stderr []byte
	Err           []byte // of its Exit, by gipc.AppendRemoteError
}

func newWorkerFailure(e *pool.WorkerError, starts int) workerFailure {
	x := e.Exit
	return workerFailure{
		PID: e.PID, Starts: starts, Name: x.Name, Code: x.Code, Signalled: x.Signal != nil, Asked: x.Asked,
		Limit: x.Limit, Panic: x.Panic, Stack: x.Stack, Stderr: x.Stderr, Err: gipc.AppendRemoteError(nil, x.Err),
	}
}

func (f *workerFailure) error(task string) (*pool.WorkerError, error) {
	cause, err := gipc.ParseRemoteError(f.Err)
	if err != nil {
		return nil, err
	}
	x := &gipc.ExitError{
		Name: f.Name, PID: f.PID, Code: f.Code, Err: cause, Asked: f.Asked,
		Limit: f.Limit, Panic: f.Panic, Stack: f.Stack, Stderr: f.Stderr,
	}
	if f.Signalled {
		var signal os.Signal = syscall.Signal(-f.Code)
		x.Signal = signal
	}
	return &pool.WorkerError{Task: task, PID: f.PID, Starts: f.Starts, Exit: x}, nil
}

var errMachine = errors.New("each machine that ran the task was lost, or its Serve was killed")

// lostMachines is the failure of a task all of whose starts ended without a word.
func lostMachines(task string, starts int) workerFailure {
	return newWorkerFailure(&pool.WorkerError{Exit: &gipc.ExitError{Name: task, Code: -1, Err: errMachine}}, starts)
}

// explain makes the error of a result that is no value.
func explain(task string, r resultMessage) error {
	switch r.kind {
	case resultTimeout:
		return fmt.Errorf("gipcnats: task %s: %w", task, pool.ErrTimeout)
	case resultLost:
		return fmt.Errorf("gipcnats: task %s: %w: %w", task, ErrLost, errNoValue)
	case resultWorker:
		var f workerFailure
		err := decode(gipc.CBOR[workerFailure]{}, r.body, &f)
		if err == nil {
			var worker *pool.WorkerError
			if worker, err = f.error(task); err == nil {
				return worker
			}
		}
		return fmt.Errorf("gipcnats: task %s: its failure: %w", task, err)
	case resultFailed, resultRefused:
		var f failure
		err := decode(gipc.CBOR[failure]{}, r.body, &f)
		if err == nil {
			err = f.error()
		}
		if r.kind == resultFailed {
			return &pool.TaskError{Task: task, Err: err}
		}
		return fmt.Errorf("gipcnats: task %s: %w", task, err)
	}
	return fmt.Errorf("gipcnats: task %s: %w", task, errFormat)
}

// checkSize returns a *gipc.TooLargeError for an encoded value above the limit.
func checkSize(value []byte, limit int) error {
	if len(value) > limit {
		return &gipc.TooLargeError{Size: uint64(len(value)), Limit: limit}
	}
	return nil
}

// encode appends v's encoding to dst. Its errors are typed.
func encode[T any](c gipc.Codec[T], dst []byte, v T) ([]byte, error) {
	out, err := c.Append(dst, v)
	if err != nil {
		return dst, &gipc.EncodeError{Type: reflect.TypeFor[T]().String(), Codec: c.Name(), Err: err}
	}
	return out, nil
}

// decode decodes src into *v. Its errors are typed.
func decode[T any](c gipc.Codec[T], src []byte, v *T) error {
	if err := c.Decode(src, v); err != nil {
		return &gipc.DecodeError{Type: reflect.TypeFor[T]().String(), Codec: c.Name(), Size: len(src), Err: err}
	}
	return nil
}

// kindOf names what a task's clients and Serves must agree in: its name and its fingerprint, as two tokens.
type kindOf struct{ name, print string }

func kindOfTask[A, R any](t *pool.Task[A, R], version string) kindOf {
	return kindOf{escape(t.Name()), fingerprint(t.Name(), version,
		t.ArgCodec().Name(), shape(reflect.TypeFor[A]()), t.ResultCodec().Name(), shape(reflect.TypeFor[R]()))}
}

func fingerprint(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// shape describes what of a type's values is sent: kinds, the fields' names and tags. The names of types are not in it, except
// where a type has an encoding of its own.
func shape(t reflect.Type) string {
	var b strings.Builder
	writeShape(&b, t, map[reflect.Type]int{})
	return b.String()
}

var ownEncodings = []reflect.Type{
	reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryAppender](), reflect.TypeFor[encoding.TextMarshaler](),
	reflect.TypeFor[interface{ MarshalCBOR() ([]byte, error) }](), reflect.TypeFor[interface{ MarshalJSON() ([]byte, error) }](),
}

func writeShape(b *strings.Builder, t reflect.Type, seen map[reflect.Type]int) {
	if n, ok := seen[t]; ok {
		fmt.Fprintf(b, "#%d", n)
		return
	}
	for _, own := range ownEncodings {
		if t.Name() != "" && (t.Implements(own) || reflect.PointerTo(t).Implements(own)) {
			fmt.Fprintf(b, "%s.%s", t.PkgPath(), t.Name())
			return
		}
	}
	if t.Name() != "" && t.PkgPath() != "" {
		seen[t] = len(seen)
	}
	b.WriteString(t.Kind().String())
	switch t.Kind() {
	case reflect.Array:
		fmt.Fprintf(b, "%d", t.Len())
		writeShape(b, t.Elem(), seen)
	case reflect.Slice, reflect.Pointer:
		writeShape(b, t.Elem(), seen)
	case reflect.Map:
		b.WriteByte('[')
		writeShape(b, t.Key(), seen)
		b.WriteByte(']')
		writeShape(b, t.Elem(), seen)
	case reflect.Interface:
		fmt.Fprintf(b, " %s.%s", t.PkgPath(), t.Name())
	case reflect.Struct:
		writeFields(b, t, seen)
	}
}

func writeFields(b *strings.Builder, t reflect.Type, seen map[reflect.Type]int) {
	b.WriteByte('{')
	for i := range t.NumField() {
		f := t.Field(i)
		if f.PkgPath != "" && !f.Anonymous && f.Name != "_" { // cbor's toarray stands at a field named _
			continue
		}
		fmt.Fprintf(b, "%s %q %q ", f.Name, f.Tag.Get("cbor"), f.Tag.Get("json"))
		writeShape(b, f.Type, seen)
		b.WriteByte(';')
	}
	b.WriteByte('}')
}
