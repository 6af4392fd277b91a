package proc

import (
	"bytes"
	"io"
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
