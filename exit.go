package gipc

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/remote"
)

// ExitError says how a child process ended, if not well. Its Error method cuts each text after 1 KiB. The fields have all of
// it. Err is matched through it by errors.Is and errors.As.
type ExitError struct {
	Name   string
	PID    int
	Code   int       // exit code; -N for death by signal N
	Signal os.Signal // nil unless a signal ended it
	Err    error     // what the entrypoint returned, with the sentinels that it matched (see RegisterError), or why the child was terminated
	Asked  bool      // the child was asked to stop, and its entrypoint returned no more than its ctx's error
	Limit  string    // which of SpawnOptions.Limits ended the child: "memory", "cpu", "processes" or "file size"; "" if none did, or the system doesn't tell
	Panic  string    // panic value or fatal runtime error
	Stack  []byte    // its goroutine's stack
	Stderr []byte    // the last 16 KiB, where SpawnOptions.Stderr was a plain writer
}

func (e *ExitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gipc: child %s (pid %d) ", e.Name, e.PID)
	switch {
	case e.Limit != "":
		fmt.Fprintf(&b, "was ended by its %s limit (raise SpawnOptions.Limits.%s, or give it less to do)", e.Limit, limitFields[e.Limit])
	case e.Panic != "":
		fmt.Fprintf(&b, "crashed: %s", bounded(e.Panic))
	case e.Signal != nil:
		fmt.Fprintf(&b, "was ended by signal %d (%v)", -e.Code, e.Signal)
	case e.Err != nil && e.Code == exitFailed:
		b.WriteString("failed")
	default:
		fmt.Fprintf(&b, "exited with code %d", e.Code)
	}
	if e.Err != nil {
		b.WriteString(": " + bounded(e.Err.Error()))
	} else if last := lastLine(e.Stderr); last != "" && e.Panic == "" {
		fmt.Fprintf(&b, "; its last words: %s", bounded(last))
	}
	return b.String()
}

func (e *ExitError) Unwrap() error { return e.Err }

// maxErrorText is how much of a child's text stands in an error's, in bytes.
const maxErrorText = 1 << 10

func bounded(text string) string {
	if len(text) <= maxErrorText {
		return text
	}
	n := maxErrorText
	for n > maxErrorText-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// remoteError is an error of another process.
type remoteError struct {
	copied *remote.Error
	asked  bool // an entrypoint returned it, and it was that of the entrypoint's own ctx
}

func (e *remoteError) Error() string { return e.copied.Error() }

func (e *remoteError) Unwrap() error { return e.copied }

func parseRemote(encoded []byte, asked bool) (*remoteError, error) {
	e, err := remote.Parse(encoded)
	if e == nil {
		return nil, err
	}
	return &remoteError{e, asked}, nil
}

// exitError explains the child's end; nil if it ended well. failure is what went wrong in serving it.
func (p *Process) exitError(failure error) error {
	e := &ExitError{Name: p.name, PID: p.PID()}
	var known bool
	e.Code, e.Signal, known = p.child.Status()
	if known && e.Code == 0 && failure == nil {
		return nil
	}
	reason := p.reason
	if reason == errTerminated && !p.child.EndedByTerminate() {
		reason = nil
	}
	if reason == nil || !p.child.EndedByForce() {
		e.Limit = p.child.Limit()
	}
	e.Stderr = p.child.Stderr()
	switch {
	case len(p.child.CrashReport()) > 0:
		e.Panic, e.Stack = p.child.ExplainCrash()
	case e.Code == exitCrashed && !p.heard: // perhaps in the init of a package that doesn't import this one, and came before it
		e.Panic, e.Stack = proc.CrashInStderr(e.Stderr)
	case p.last != nil && e.Code == exitFailed:
		e.Err = p.last
		e.Asked = p.last.asked && failure == nil
	case reason == nil || known && !p.child.EndedByForce(): // its end is none of our doing
	case p.last != nil:
		e.Err = fmt.Errorf("%w, after its entrypoint had returned: %w", reason, &remoteError{copied: p.last.copied})
	default:
		e.Err = reason
	}
	switch {
	case e.Err == nil:
		e.Err = failure
	case failure != nil:
		e.Err = fmt.Errorf("%w; besides: %w", e.Err, failure)
	}
	return e
}
