package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// runner compiles and runs tests.
type runner struct {
	dir     string // for files of its own
	root    string
	serial  atomic.Int64
	mu      sync.Mutex
	normals map[string]func() (normal, error)
}

// normal is what is known of a package's tests where nothing is changed.
type normal struct {
	took time.Duration
	slow string // regular expression of the tests that take long
}

func newRunner(dir string) *runner {
	root, _ := os.Getwd()
	return &runner{dir: dir, root: root, normals: map[string]func() (normal, error){}}
}

// try finds out whether a test notices a change.
func (r *runner) try(m *mutant) error {
	begun := time.Now()
	m.result = result{Key: m.key, Verdict: survived}
	prefix := filepath.Join(r.dir, fmt.Sprint(r.serial.Add(1)))
	overlay, err := r.overlay(m, prefix)
	if err != nil {
		return err
	}
	for i, pkg := range m.tests {
		n, err := r.normal(pkg)
		if err != nil {
			return err
		}
		binary := prefix + ".test"
		if _, err := r.compile(pkg, binary, "-overlay", overlay); err != nil {
			if i > 0 {
				return err
			}
			m.result.Verdict = noBuild
			break
		}
		by, err := r.notices(pkg, binary, n)
		_ = os.Remove(binary)
		if err != nil {
			return err
		}
		if by != "" {
			m.result.Verdict, m.result.By = noticed, by
			break
		}
	}
	m.result.Seconds = time.Since(begun).Seconds()
	return nil
}

// overlay writes the changed file, and what tells the compiler of it.
func (r *runner) overlay(m *mutant, prefix string) (string, error) {
	changed, overlay := prefix+".go", prefix+".json"
	text, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(r.root, m.path): changed}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(os.WriteFile(changed, m.changed(), 0o666), os.WriteFile(overlay, text, 0o666))
}

func (r *runner) compile(pkg, binary string, flags ...string) (string, error) {
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-w", "-o", binary}, flags...)
	out, err := exec.Command("go", append(args, pkg)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return string(out), err
}

// normal runs the tests of a package once where nothing is changed.
func (r *runner) normal(pkg string) (normal, error) {
	r.mu.Lock()
	once, ok := r.normals[pkg]
	if !ok {
		once = sync.OnceValues(func() (normal, error) { return r.measure(pkg) })
		r.normals[pkg] = once
	}
	r.mu.Unlock()
	return once()
}

// slowTest is the time from which on a test runs behind the others.
const slowTest = 300 * time.Millisecond

var testTook = regexp.MustCompile(`(?m)^--- PASS: (\w+) \(([0-9.]+)s\)`)

func (r *runner) measure(pkg string) (normal, error) {
	binary := filepath.Join(r.dir, "normal"+strconv.FormatInt(r.serial.Add(1), 10)+".test")
	if _, err := r.compile(pkg, binary); err != nil {
		return normal{}, err
	}
	begun := time.Now()
	out, ok := runTests(pkg, binary, time.Hour, "-test.v")
	if !ok {
		return normal{}, fmt.Errorf("the tests of %s fail where nothing is changed:\n%s", pkg, out)
	}
	n := normal{took: time.Since(begun)}
	var slow []string
	for _, found := range testTook.FindAllStringSubmatch(out, -1) {
		if seconds, err := strconv.ParseFloat(found[2], 64); err == nil && seconds >= slowTest.Seconds() {
			slow = append(slow, found[1])
		}
	}
	n.slow = "^(" + strings.Join(slow, "|") + ")$"
	fmt.Fprintf(os.Stderr, "%s: %v; %d slow tests\n", pkg, n.took.Round(time.Millisecond), len(slow))
	return n, nil
}

// notices runs the quick tests, then the slow ones, and says which of them fails.
func (r *runner) notices(pkg, binary string, n normal) (string, error) {
	limit := max(3*n.took, 30*time.Second)
	for _, part := range []string{"-test.skip", "-test.run"} {
		begun := time.Now()
		out, ok := runTests(pkg, binary, limit, "-test.failfast", part, n.slow)
		switch {
		case ok:
		case time.Since(begun) >= limit:
			return "the time limit", nil
		default:
			return pkg + " " + failure(out), nil
		}
	}
	return "", nil
}

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

func failure(out string) string {
	if found := failedTest.FindStringSubmatch(out); found != nil {
		return found[1]
	}
	for _, sign := range []string{"fatal error: ", "panic: "} {
		if _, text, ok := strings.Cut(out, sign); ok {
			line, _, _ := strings.Cut(text, "\n")
			return sign + line
		}
	}
	return "exit"
}

// runTests runs a test binary in a session of its own, and leaves nothing of it.
func runTests(pkg, binary string, limit time.Duration, flags ...string) (out string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"-test.short"}, flags...)...)
	cmd.Dir = pkg
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second // its descendants may hold the pipe
	b, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		endSession(cmd.Process.Pid)
	}
	return string(b), err == nil
}

// endSession kills what a test has left in its session. Children of gipc have groups of their own, and changed code may not
// end them.
func endSession(session int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, behind, _ := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), ") ")
		fields := strings.Fields(behind) // state, parent, group, session
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && len(fields) > 3 && fields[3] == strconv.Itoa(session) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
