package proc

import (
	"bytes"
	"fmt"
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

func TestShortReportIsKeptAsItIs(t *testing.T) {
	for _, report := range []string{
		"panic: boom\n\ngoroutine 7 [running]:\nmain.main()\n\ngoroutine 8 [select]:\n",
		"goroutine 7 [running]:\nmain.main()\n", "panic: cut", "\n", "",
	} {
		for _, r := range []io.Reader{strings.NewReader(report), &oddReader{strings.NewReader(report)}} {
			kept, err := readCrash(r)
			test.Check(t, err)
			test.Equal(t, string(kept), report)
		}
	}
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

func TestCrashInStderr(t *testing.T) {
	const stack = "goroutine 1 [running]:\nmain.init()\n\t/x.go:1\n"
	for text, want := range map[string]string{
		"panic: boom\n\n" + stack:                         "boom",
		"noise\npanic: a\n\tpanic: b\n\n" + stack + "x\n": "a\npanic: b",
		"panic: printed\npanic: boom\n\n" + stack:         "boom",
		"fatal error: bad\n\n" + stack:                    "bad",
		"panic: boom\n":                                   "",
		"no panic: here\n\n" + stack:                      "",
		"":                                                "",
	} {
		value, got := CrashInStderr([]byte(text))
		if value != want || want != "" && !strings.HasPrefix(string(got), stack) {
			t.Errorf("%q: %q, %q", text, value, got)
		}
	}
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

// The runtime prints the text of a fatal error to stderr alone, which may be elsewhere.
func TestCrashForWantOfMemoryOrThreads(t *testing.T) {
	const thrown = "runtime stack:\nruntime.throw({0x4e1bdf?, 0x272b?})\n\t/runtime/panic.go:1229 +0x48\n%s0x1000)\n\t/x.go:1 +0x1\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1\n"
	const signal = "SIGSEGV: segmentation violation\nPC=0x1 m=3 sigcode=1 addr=%s\n\ngoroutine 0 gp=0x1 m=3 [idle]:\n%s0x1)\n\t/x.go:1\n\ngoroutine 1 [running]:\n"
	const abort = "SIGABRT: abort\nPC=0x1 m=0 sigcode=%s\n%s\ngoroutine %d gp=0x1 m=0 [idle]:\nruntime: g 0 gp=0x1: unknown pc 0x1\n"
	const itself = "18446744073709551610"
	for name, c := range map[string]struct {
		report          string
		memory, threads bool
	}{
		"mapping":           {fmt.Sprintf(thrown, "runtime.sysMapOS("), true, false},
		"metadata":          {fmt.Sprintf(thrown, "runtime.(*mheap).sysAlloc("), true, false},
		"unchecked":         {fmt.Sprintf(signal, "0x0", "runtime.(*spanQueue).tryDrain("), true, false},
		"thread":            {fmt.Sprintf(thrown, "runtime.newosproc("), false, true},
		"thread, with cgo":  {fmt.Sprintf(abort, itself, "", 0), false, true},
		"abort in a call":   {fmt.Sprintf(abort, itself, "signal arrived during cgo execution\n", 1), false, false},
		"abort from others": {fmt.Sprintf(abort, "0", "", 0), false, false},
		"panic":             {"panic: no room\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1\n", false, false},
		"fatal error":       {fmt.Sprintf(thrown, "runtime.fatal("), false, false},
		"pointer":           {fmt.Sprintf(signal, "0x7f00", "runtime.(*spanQueue).tryDrain("), false, false},
		"the program's nil": {fmt.Sprintf(signal, "0x0", "main.f("), false, false},
		"nothing":           {},
		"cut":               {"runtime stack:\nruntime.throw(", false, false},
	} {
		memory, threads := outOfMemory([]byte(c.report)), outOfThreads([]byte(c.report))
		if memory != c.memory || threads != c.threads {
			t.Errorf("%s: memory %v, threads %v", name, memory, threads)
		}
		if value, _ := ExplainCrash([]byte(c.report), nil); c.memory && value != "out of memory" && name != "unchecked" {
			t.Errorf("%s: %q", name, value)
		}
	}
}
