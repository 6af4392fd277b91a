package proc

import (
	"bytes"
	"io"
	"slices"
	"strings"
)

// maxCrash is how much of a crash report is kept, in bytes: as much of the text as of the stacks behind it. The crashed
// goroutine's comes first.
const maxCrash = 256 << 10

// stackMark begins a stack, in a line that the text has no equal of: the runtime indents the text's further lines.
const stackMark = "\ngoroutine "

// crashReport is what is kept of what the runtime prints.
type crashReport struct {
	text   []byte
	behind []byte // the text, still to be searched for the mark
	stacks []byte
}

// readFrom reads what the runtime printed, up to the end of the child; what is above maxCrash is read and dropped, so
// that a crashing child never waits. It may be called again after an error.
func (c *crashReport) readFrom(r io.Reader) (err error) {
	buf := make([]byte, 4096) // held for as long as the child lives
	for err == nil {
		var n int
		n, err = r.Read(buf)
		c.add(buf[:n])
	}
	if err == io.EOF {
		err = nil
	}
	return err
}

func (c *crashReport) add(b []byte) {
	if c.stacks != nil {
		c.stacks = appendUpTo(c.stacks, b, maxCrash)
		return
	}
	if c.text == nil && c.behind == nil {
		c.behind = []byte("\n") // a stack may come first
	}
	c.behind = append(c.behind, b...)
	mark := bytes.Index(c.behind, []byte(stackMark))
	searched := max(0, len(c.behind)-len(stackMark)+1)
	if mark >= 0 {
		searched = mark + 1
		c.stacks = appendUpTo(nil, c.behind[searched:], maxCrash)
	}
	c.text = appendUpTo(c.text, c.behind[:searched], 1+maxCrash)
	c.behind = append(c.behind[:0], c.behind[searched:]...)
}

func appendUpTo(kept, b []byte, limit int) []byte {
	return append(kept, b[:min(len(b), limit-len(kept))]...)
}

func (c *crashReport) bytes() []byte {
	if c.stacks == nil {
		kept := appendUpTo(c.text, c.behind, 1+maxCrash)
		return kept[min(1, len(kept)):]
	}
	kept := c.text
	if kept[len(kept)-1] != '\n' { // it was cut
		kept = append(kept, '\n')
	}
	return append(kept, c.stacks...)[1:]
}

// unnamedCrash is the value of a fatal error whose text is unknown.
const unnamedCrash = "fatal error (its text is in the child's stderr)"

// ExplainCrash returns the value and stack of a crash. The runtime prints the text of a fatal error before it begins to
// copy to the crash output, so that only the child's stderr has it.
func ExplainCrash(report, stderr []byte) (value string, stack []byte) {
	value, stack = parseCrash(report)
	if last := bytes.LastIndex(append([]byte("\n"), stderr...), []byte("\n"+fatalMark)); value == "" && last >= 0 {
		value, _ = parseCrash(stderr[last:]) // what is before may hold stacks that the program printed itself
	}
	if value == "" && bytes.Contains(report, []byte("\nruntime.newstack(")) {
		value = "stack overflow" // so deep that its text is in front of what is kept of stderr
	}
	if value == "" && outOfMemory(report) {
		value = "out of memory"
	}
	if value == "" {
		value = unnamedCrash
	}
	return value, stack
}

// CrashInStderr returns the value and stack of a crash that the runtime has printed at the end of a child's stderr; empty if there
// is none. It is for a child that crashed before it could ask for a report.
func CrashInStderr(stderr []byte) (value string, stack []byte) {
	text := append([]byte("\n"), stderr...)
	at := max(bytes.LastIndex(text, []byte("\n"+panicMark)), bytes.LastIndex(text, []byte("\n"+fatalMark)))
	if at < 0 || !bytes.Contains(text[at:], []byte(stackMark)) {
		return "", nil
	}
	return parseCrash(stderr[at:])
}

// outOfMemory says whether the runtime ended the program because the system gave it no memory.
func outOfMemory(report []byte) bool {
	return thrownBy(report, wantingMemory...) || nilInRuntime(report)
}

// wantingMemory are the runtime's functions that end the program when the system gives them no memory.
var wantingMemory = []string{
	"runtime.sysMapOS(", "runtime.sysUsedOS(", "runtime.persistentalloc1(", "runtime.newArenaMayUnlock(", "runtime.recordspan(",
	"runtime.(*mheap).sysAlloc(", "runtime.(*pageAlloc).grow(", "runtime.(*mcache).allocLarge(", "runtime.(*mcache).refill(",
	"runtime.stackalloc(", "runtime.stackpoolalloc(", "runtime.getempty(",
}

// nilInRuntime says whether the runtime itself, on its own stack, has used a nil pointer: it doesn't check all that the system
// gives it, such as the queue of the garbage collector's spans.
func nilInRuntime(report []byte) bool {
	head, stack, _ := bytes.Cut(report, []byte("\n\ngoroutine 0 "))
	_, top, _ := bytes.Cut(stack, []byte("\n"))
	return bytes.HasPrefix(head, []byte("SIGSEGV: ")) && bytes.HasSuffix(head, []byte(" addr=0x0")) && bytes.HasPrefix(top, []byte("runtime."))
}

// outOfThreads says whether the runtime ended the program because the system gave it no thread. With cgo it is C code of package
// runtime/cgo that calls abort then, outside any call of the program's.
func outOfThreads(report []byte) bool {
	head, _, onOwnStack := bytes.Cut(report, []byte("\n\ngoroutine 0 "))
	const sentByItself = " sigcode=18446744073709551610" // SI_TKILL
	aborted := bytes.HasPrefix(head, []byte("SIGABRT: ")) && bytes.HasSuffix(head, []byte(sentByItself)) && onOwnStack
	return thrownBy(report, "runtime.newosproc(") || aborted
}

// thrownBy says whether one of the runtime's functions ended the program by a fatal error. In a report a function has a line,
// and its place the next one.
func thrownBy(report []byte, functions ...string) bool {
	_, behind, _ := bytes.Cut(report, []byte("\nruntime.throw("))
	lines := bytes.SplitN(behind, []byte("\n"), 4)
	return len(lines) == 4 && slices.ContainsFunc(functions, func(f string) bool { return bytes.HasPrefix(lines[2], []byte(f)) })
}

const (
	panicMark = "panic: "
	fatalMark = "fatal error: "
)

// parseCrash splits a report of Go's runtime into the panic's value, or the fatal error, and the stack of its goroutine.
func parseCrash(text []byte) (value string, stack []byte) {
	head, stack := text, []byte(nil)
	if i := bytes.Index(append([]byte("\n"), text...), []byte(stackMark)); i >= 0 {
		head, stack = text[:i], text[i:]
	}
	if i := bytes.Index(stack, []byte("\n\n")); i >= 0 {
		stack = stack[:i+1]
	}
	if i := bytes.Index(append([]byte("\n"), head...), []byte("\nruntime stack:")); i >= 0 {
		head = head[:i] // the runtime's own, which a stack overflow begins with
	}
	value = string(head)
	for _, mark := range []string{panicMark, fatalMark} {
		if i := strings.Index("\n"+value, "\n"+mark); i >= 0 {
			value = value[i+len(mark):]
			break
		}
	}
	return strings.ReplaceAll(strings.TrimSpace(value), "\n\t", "\n"), stack // the runtime indents further lines
}
