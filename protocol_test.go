package gipc_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// Job is the type of that name in docs/protocol.md.
type Job struct {
	Path string
	Size int `json:"size"`
	Tags []string
}

// vector is a row of the table in docs/protocol.md.
type vector struct {
	codec, typ string
	stream     []byte
	results    []string // values and the names of errors
	exact      bool
	marked     bool // the stream has a mark of its end
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	page, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "| codec | T | bytes | Get returns | exact |")
	if !found {
		t.Fatal("docs/protocol.md has no table of vectors")
	}
	var vectors []vector
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 5 {
			if len(vectors) > 0 {
				break // behind the table
			}
			continue
		}
		v := vector{codec: strings.TrimPrefix(cells[0], "| "), typ: unquote(cells[1]), exact: cells[4] == "yes |"}
		v.codec, _, v.marked = strings.Cut(v.codec, ", marked")
		if v.stream = []byte{}; cells[2] != "none" {
			v.stream = parseBytes(t, unquote(cells[2]))
		}
		for _, result := range strings.SplitAfter(cells[3]+" ", "` ") {
			if result != "" {
				v.results = append(v.results, result[1:len(result)-2])
			}
		}
		for i, result := range v.results { // "a"*3
			if quoted, times, found := strings.Cut(result, `"*`); found {
				n, err := strconv.Atoi(times)
				if err != nil {
					t.Fatal(err)
				}
				v.results[i] = `"` + strings.Repeat(quoted[1:], n) + `"`
			}
		}
		vectors = append(vectors, v)
	}
	return vectors
}

func unquote(cell string) string { return strings.Trim(cell, "`") }

func parseBytes(t *testing.T, text string) []byte {
	t.Helper()
	b := []byte{}
	for _, part := range strings.Fields(text) {
		digits, times, repeated := strings.Cut(part, "*")
		n := 1
		piece, err := hex.DecodeString(digits)
		if err == nil && repeated {
			n, err = strconv.Atoi(times)
		}
		if err != nil {
			t.Fatalf("%q: %v", part, err)
		}
		b = append(b, bytes.Repeat(piece, n)...)
	}
	return b
}

func TestProtocolVectors(t *testing.T) {
	vectors := readVectors(t)
	if len(vectors) < 40 {
		t.Fatalf("only %d vectors found", len(vectors))
	}
	for _, v := range vectors {
		name := fmt.Sprintf("%s %s %x", v.codec, v.typ, v.stream[:min(len(v.stream), 24)])
		t.Run(name, func(t *testing.T) {
			switch v.typ {
			case "[]byte":
				checkVector[[]byte](t, v)
			case "int":
				checkVector[int](t, v)
			case "int64":
				checkVector[int64](t, v)
			case "uint64":
				checkVector[uint64](t, v)
			case "bool":
				checkVector[bool](t, v)
			case "float32":
				checkVector[float32](t, v)
			case "float64":
				checkVector[float64](t, v)
			case "string":
				checkVector[string](t, v)
			case "[3]int":
				checkVector[[3]int](t, v)
			case "[]int":
				checkVector[[]int](t, v)
			case "[]string":
				checkVector[[]string](t, v)
			case "map[string]int":
				checkVector[map[string]int](t, v)
			case "*int":
				checkVector[*int](t, v)
			case "Job":
				checkVector[Job](t, v)
			case "time.Time":
				checkVector[time.Time](t, v)
			default:
				t.Fatalf("this test doesn't know the type %s", v.typ)
			}
		})
	}
}

var errorOf = map[string]func(error) bool{
	"EOF":              func(err error) bool { return err == io.EOF },
	"ErrUnexpectedEOF": func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
	"ErrFrame":         func(err error) bool { return errors.Is(err, gipc.ErrFrame) },
	"TooLargeError":    func(err error) bool { return errors.As(err, new(*gipc.TooLargeError)) },
	"DecodeError":      func(err error) bool { return errors.As(err, new(*gipc.DecodeError)) },
}

func checkVector[T any](t *testing.T, v vector) {
	codecs := map[string]gipc.Codec[T]{"cbor": nil, "json": gipc.JSON[T]{}}
	if raw, ok := any(gipc.Raw{}).(gipc.Codec[T]); ok {
		codecs["raw"] = raw
	}
	codec, ok := codecs[v.codec]
	if !ok {
		t.Fatalf("there is no codec %s for %s", v.codec, v.typ)
	}
	opts := &gipc.Options[T]{Codec: codec, EndMark: v.marked}

	var values []T
	pieces := []int{1, 3, 5, 1 << 20} // bytes that one read of the stream returns at most
	if test.UnderQEMU() && len(v.stream) > 1<<12 {
		pieces = []int{1001, 1 << 20} // a goroutine for each piece takes long in emulation
	}
	for _, size := range pieces {
		values = values[:0]
		r := gipc.NewReader[T](&slowStream{data: v.stream, size: size}, opts)
		for i, want := range v.results {
			got, err := r.Get(t.Context())
			if isErr, ok := errorOf[want]; ok {
				if !isErr(err) {
					t.Fatalf("in pieces of %d: result %d is %v, %v, want %s", size, i, got, err, want)
				}
				continue
			}
			value := parseValue[T](t, want)
			if err != nil || !reflect.DeepEqual(got, value) {
				t.Fatalf("in pieces of %d: result %d is %v, %v, want %v", size, i, got, err, value)
			}
			values = append(values, value)
		}
	}
	if !v.exact {
		return
	}
	var out sliceStream
	w := gipc.NewWriter[T](&out, opts)
	for _, value := range values {
		if err := w.Put(t.Context(), value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), v.stream) {
		t.Errorf("Put wrote %.200x, want %.200x", out.Bytes(), v.stream)
	}
}

func parseValue[T any](t *testing.T, text string) (v T) {
	t.Helper()
	var err error
	if b, ok := any(&v).(*[]byte); ok {
		var s string
		s, err = strconv.Unquote(text)
		*b = []byte(s)
	} else {
		err = json.Unmarshal([]byte(text), &v)
	}
	if err != nil {
		t.Fatalf("value %.100q: %v", text, err)
	}
	return v
}

// slowStream returns at most size bytes at a time.
type slowStream struct {
	data []byte
	size int
}

func (s *slowStream) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.size)], s.data)
	s.data = s.data[n:]
	return n, nil
}

func (s *slowStream) Close() error { return nil }

type sliceStream struct{ bytes.Buffer }

func (s *sliceStream) Close() error { return nil }

// startPython runs a program with two pipes as its descriptors 3 and 4, and returns our ends of them.
func startPython(t *testing.T, program string) (toChild, fromChild *os.File, wait func() error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Python has no Connection over pipes on Windows")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 to talk to: ", err)
	}
	childR, toChild, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromChild, childW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", program)
	var stderr bytes.Buffer
	cmd.ExtraFiles, cmd.Stderr = []*os.File{childR, childW}, &stderr
	err = errors.Join(cmd.Start(), childR.Close(), childW.Close())
	if err != nil {
		t.Fatal(err)
	}
	return toChild, fromChild, func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, &stderr)
		}
		return nil
	}
}

// TestPythonChildOfTheDocs runs the child that docs/protocol.md shows.
func TestPythonChildOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(page), "```python\n")
	program, _, found := strings.Cut(program, "```")
	if !found {
		t.Fatal("docs/protocol.md shows no Python program")
	}
	toChild, fromChild, wait := startPython(t, program)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	jobs := gipc.NewWriter(toChild, &gipc.Options[Job]{Codec: gipc.JSON[Job]{}})
	answers := gipc.NewReader(fromChild, &gipc.Options[int]{Codec: gipc.JSON[int]{}})
	for n := range 10 {
		if err := jobs.Put(ctx, Job{Path: strings.Repeat("ü", n)}); err != nil {
			t.Fatal(err)
		}
		if got, err := answers.Get(ctx); err != nil || got != n {
			t.Fatalf("%d, %v, want %d", got, err, n)
		}
	}
	if err := jobs.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := answers.Get(ctx); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if err := errors.Join(answers.Close(), wait()); err != nil {
		t.Error(err)
	}
}

// TestPythonEchoesEverySize also covers messages that Python writes in two pieces.
func TestPythonEchoesEverySize(t *testing.T) {
	toChild, fromChild, wait := startPython(t, `
from multiprocessing.connection import Connection
i, o = Connection(3, writable=False), Connection(4, readable=False)
try:
    while True:
        o.send_bytes(i.recv_bytes())
except EOFError:
    pass
`)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	w := gipc.NewWriter(toChild, &gipc.Options[[]byte]{Codec: gipc.Raw{}})
	r := gipc.NewReader(fromChild, &gipc.Options[[]byte]{Codec: gipc.Raw{}})
	for _, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 64<<10 - 5, 64 << 10, 1 << 20, 20 << 20} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i ^ i>>8 ^ i>>16)
		}
		if err := w.Put(ctx, want); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Get(ctx); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back as %d, %v", size, len(got), err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get(ctx); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if err := errors.Join(r.Close(), wait()); err != nil {
		t.Error(err)
	}
}
