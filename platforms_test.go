package gipc

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// docs/platforms.md and docs/reliability.md say which test holds what: each that they name is there.
func TestPlatformsNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("docs/platforms.md")
	test.Check(t, err)
	more, err := os.ReadFile("docs/reliability.md")
	test.Check(t, err)
	for command := range strings.Lines(string(more)) {
		if !strings.Contains(command, "go test") { // -run has a part of a name
			page = append(page, command...)
		}
	}
	defined := testsByName(t)
	named := namesOfTests.FindAllString(string(page), -1)
	if len(named) < 50 {
		t.Fatalf("%d tests are named", len(named))
	}
	for _, name := range named {
		if defined[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
}

// A row of docs/platforms.md with "qemu" in it names a test at least that .ci/qemu runs: one that is not always skipped there.
func TestPlatformsSaysWhatRunsUnderQEMU(t *testing.T) {
	page, err := os.ReadFile("docs/platforms.md")
	test.Check(t, err)
	defined := testsByName(t)
	runs := func(name string) bool {
		return slices.ContainsFunc(defined[name], func(d definition) bool {
			return !notUnderQEMU.MatchString(d.path) && !skippedUnderQEMU.MatchString(d.body)
		})
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[3], "qemu") {
			continue
		}
		rows++
		if !slices.ContainsFunc(namesOfTests.FindAllString(line, -1), runs) {
			t.Errorf(".ci/qemu runs no test of: %s", line)
		}
	}
	if rows < 10 {
		t.Errorf("%d rows", rows)
	}
}

// notUnderQEMU finds files of other modules, and of another system.
var notUnderQEMU = regexp.MustCompile(`^(bench|gipcnats|tools)/|_windows_test\.go$`)

// skippedUnderQEMU finds a condition of a whole test.
var skippedUnderQEMU = regexp.MustCompile(`(?m)^\t(test\.SkipUnderQEMU\(|if testing\.Short\(\)[^\n]*\{\n\t\tt\.Skip)`)

var namesOfTests = regexp.MustCompile(`\bTest[A-Z]\w+`)

// definition is where a test is, and what.
type definition struct{ path, body string }

// testsByName finds all tests of this repository.
func testsByName(t *testing.T) map[string][]definition {
	t.Helper()
	defined := map[string][]definition{}
	test.Check(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?ms)^func (Test\w+)\((.*?)^}`).FindAllSubmatch(source, -1) {
			name := string(m[1])
			defined[name] = append(defined[name], definition{filepath.ToSlash(path), string(m[2])})
		}
		return err
	}))
	return defined
}
