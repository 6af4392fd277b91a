package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// runner compiles and runs tests.
type runner struct {
	dir      string // for files of its own
	root     string
	mu       sync.Mutex
	programs map[string]func() (*program, error)
}

// program is a package's tests, with all changes of a subject in them.
type program struct {
	pkg         string
	binary      string
	quick, rest time.Duration // what the quick tests take where no change is turned on, and the others
	slow        string        // regular expression of the others
	failing     []string      // likewise, of tests that fail as it is
}

func newRunner(dir string) *runner {
	root, _ := os.Getwd()
	return &runner{dir: dir, root: root, programs: map[string]func() (*program, error){}}
}

// try finds out whether a test notices a change.
func (r *runner) try(m *mutant) error {
	begun := time.Now()
	m.result = result{Key: m.key, Verdict: survived}
	tests := m.subject.tests
	if *near && len(tests) > 1 {
		tests, m.result.Verdict = tests[:1], notNear
	}
	for _, pkg := range tests {
		p, err := r.program(m.subject, pkg)
		if err != nil {
			return err
		}
		by, err := r.notices(p, m)
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

// program compiles and measures the tests of a package, once for each subject.
func (r *runner) program(s *subject, pkg string) (*program, error) {
	r.mu.Lock()
	once, ok := r.programs[s.dir+" "+pkg]
	if !ok {
		once = sync.OnceValues(func() (*program, error) { return r.makeProgram(s, pkg) })
		r.programs[s.dir+" "+pkg] = once
	}
	r.mu.Unlock()
	return once()
}

func (r *runner) makeProgram(s *subject, pkg string) (*program, error) {
	binary := filepath.Join(r.dir, strings.ReplaceAll(s.dir+"-"+pkg, "/", "-")+".test")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-w", "-o", binary, "-overlay", r.overlayName(s), pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	p := &program{pkg: pkg, binary: binary}
	return p, p.measure()
}

// slowTest is the time from which on a test runs behind the others.
const slowTest = 300 * time.Millisecond

var testTook = regexp.MustCompile(`(?m)^--- PASS: (\w+) \(([0-9.]+)s\)`)

// measure runs the tests with no change turned on.
func (p *program) measure() error {
	begun := time.Now()
	out, end := runTests(p.pkg, p.binary, time.Hour, "-test.v", "-test.run", *tests)
	for _, found := range failedTest.FindAllStringSubmatch(out, -1) {
		p.failing = append(p.failing, "^"+found[1]+"$")
	}
	if end != passed && len(p.failing) == 0 {
		return fmt.Errorf("the tests of %s fail where no change is turned on:\n%s", p.pkg, out)
	}
	p.rest = time.Since(begun)
	var slow []string
	for _, found := range testTook.FindAllStringSubmatch(out, -1) {
		seconds, err := strconv.ParseFloat(found[2], 64)
		if err != nil {
			return err
		}
		if took := time.Duration(seconds * float64(time.Second)); took < slowTest {
			p.quick += took
		} else {
			slow = append(slow, found[1])
		}
	}
	p.slow = "^(" + strings.Join(slow, "|") + ")$"
	fmt.Fprintf(os.Stderr, "%s: %v, of these quick tests %v; %d slow tests; left out, since they fail: %q\n",
		p.pkg, p.rest, p.quick, len(slow), p.failing)
	return nil
}

// notices turns a change on, runs the quick tests, then the slow ones, and says which of them fails.
func (r *runner) notices(p *program, m *mutant) (string, error) {
	binary := fmt.Sprintf("%s-mutant-%d", p.binary, m.number)
	defer os.Remove(binary)
	if out, err := exec.Command("cp", p.binary, binary).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	by, err := p.runPart(binary, p.quick, append([]string{p.slow}, p.failing...), *tests)
	if by == "" && err == nil {
		by, err = p.runPart(binary, p.rest, p.failing, p.slow)
	}
	return by, err
}

// runPart runs the tests that only names, but for those that skip names, and says which of them fails. One that fails, and
// then doesn't when it runs alone, has noticed nothing: the others run again without it.
func (p *program) runPart(binary string, normal time.Duration, skip []string, only string) (string, error) {
	const most = 5 // tests that fail now and then
	limit := max(3*normal, minLimit)
	skip = slices.Clone(skip)
	for range most {
		flags := []string{"-test.failfast", "-test.run", only}
		if len(skip) > 0 {
			flags = append(flags, "-test.skip", strings.Join(skip, "|"))
		}
		out, end := runTests(p.pkg, binary, limit, flags...)
		name, isTest := failure(out)
		switch {
		case end == passed:
			return "", nil
		case end == hung:
			return timeLimit, nil
		case !isTest || p.failsAgain(binary, name, limit):
			return p.pkg + " " + name, nil
		}
		skip = append(skip, "^"+name+"$")
	}
	return "", fmt.Errorf("of %s, %q fail now and then", p.pkg, skip)
}

func (p *program) failsAgain(binary, name string, limit time.Duration) bool {
	_, end := runTests(p.pkg, binary, limit, "-test.run", "^"+name+"$")
	return end != passed
}

// minLimit is how long a test may take in any case: other work on the machine may slow it down.
const minLimit = 12 * time.Second

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// failure returns the test that has failed, or what else happened.
func failure(out string) (name string, isTest bool) {
	if found := failedTest.FindStringSubmatch(out); found != nil {
		return found[1], true
	}
	for _, sign := range []string{"fatal error: ", "panic: "} {
		if _, text, ok := strings.Cut(out, sign); ok {
			line, _, _ := strings.Cut(text, "\n")
			return sign + line, false
		}
	}
	return "exit", false
}
