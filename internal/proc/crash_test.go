package proc

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-gipc/gipc/internal/test"
)

// largestRead records how much was asked for at once.
type largestRead struct {
	io.Reader
	n int
}

func (r *largestRead) Read(p []byte) (int, error) {
	r.n = max(r.n, len(p))
	return r.Reader.Read(p)
}

// TestCrashReportIsReadToItsEndAndKeptUpToItsLimit: in reads that every system takes, for some refuse large ones of a pipe.
func TestCrashReportIsReadToItsEndAndKeptUpToItsLimit(t *testing.T) {
	const largest = 64 << 10 // that macOS takes of a pipe
	for _, size := range []int{0, 1, 4096, 100_000, maxCrash, maxCrash + 1, 3 * maxCrash} {
		text := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		source := bytes.NewReader(text)
		r := &largestRead{Reader: iotest.HalfReader(source)}
		kept, err := readCrash(r)
		test.Check(t, err)
		test.Bytes(t, kept, text[:min(size, maxCrash)])
		test.Equal(t, source.Len(), 0)
		if r.n > largest {
			t.Errorf("a read asked for %d bytes", r.n)
		}
	}
	kept, err := readCrash(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader([]byte("cut")))))
	test.Is(t, err, iotest.ErrTimeout)
	test.Equal(t, string(kept), "c")
}

// A long text leaves the stack its room, wherever the reads cut them.
func TestStackBehindALongTextIsKept(t *testing.T) {
	const stack = "goroutine 7 [running]:\nmain.main()\n\t/x.go:1\n"
	for _, size := range []int{10, 4000, maxCrash - 30, maxCrash - 1, maxCrash, 2 << 20} {
		value := strings.Repeat("x", size)
		report := "panic: " + value + "\n\n" + stack + "\ngoroutine 8 [select]:\n" + strings.Repeat("other\n", maxCrash)
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(report), "odd": &oddReader{strings.NewReader(report)}} {
			kept, err := readCrash(r)
			test.Check(t, err)
			got, gotStack := ExplainCrash(kept, nil)
			if want := value[:min(size, maxCrash-len("panic: "))]; got != want || string(gotStack) != stack {
				t.Errorf("%d, %s: %d bytes of value, stack %.50q", size, name, len(got), gotStack)
			}
			if len(kept) > 2*maxCrash+1 {
				t.Errorf("%d bytes are kept", len(kept))
			}
		}
	}
}

// readCrash reads all of a report.
func readCrash(r io.Reader) ([]byte, error) {
	var c crashReport
	err := c.readFrom(r)
	return c.bytes(), err
}

// oddReader reads seven bytes at a time.
type oddReader struct{ io.Reader }

func (r *oddReader) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(7, len(p))]) }

func TestExplainCrash(t *testing.T) {
	const stack = "goroutine 7 [running]:\nmain.main()\n\t/x.go:1\n"
	const others = "\ngoroutine 8 [select]:\nmain.other()\n"
	for name, c := range map[string]struct{ report, stderr, value, stack string }{
		"panic":             {"panic: boom\n\n" + stack + others, "", "boom", stack},
		"panic in lines":    {"panic: boom\n\tgoroutine 1 [running]:\n\n" + stack, "", "boom\ngoroutine 1 [running]:", stack},
		"panic, re-panic":   {"panic: a [recovered]\n\tpanic: b\n\n" + stack, "", "a [recovered]\npanic: b", stack},
		"fatal error":       {"fatal error: bad\n\n" + stack, "", "bad", stack},
		"fatal, no text":    {"\n" + stack, "noise\nfatal error: bad\n\n" + stack, "bad", stack},
		"fatal, twice":      {"\n" + stack, "fatal error: printed\nfatal error: bad\n\n" + stack, "bad", stack},
		"fatal, no stderr":  {"\n" + stack, "", unnamedCrash, stack},
		"fatal, in a line":  {"\n" + stack, "no fatal error: here\n", unnamedCrash, stack},
		"stack overflow":    {"\nruntime stack:\nruntime.newstack(...)\n\n" + stack, "cut", "stack overflow", stack},
		"no goroutine":      {"panic: boom", "", "boom", ""},
		"a signal":          {"SIGQUIT: quit\nPC=0x1\n\n" + stack, "", "SIGQUIT: quit\nPC=0x1", stack},
		"marks in the text": {"panic: fatal error: x\n\n" + stack, "", "fatal error: x", stack},
	} {
		value, got := ExplainCrash([]byte(c.report), []byte(c.stderr))
		if value != c.value || string(got) != c.stack {
			t.Errorf("%s: %q, %q; want %q, %q", name, value, got, c.value, c.stack)
		}
	}
}
