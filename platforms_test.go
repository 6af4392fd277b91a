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

// A row of docs/platforms.md with "qemu" in it names a test at least that .ci/qemu chooses.
func TestPlatformsSaysWhatRunsUnderQEMU(t *testing.T) {
	page, err := os.ReadFile("docs/platforms.md")
	test.Check(t, err)
	script, err := os.ReadFile(".ci/qemu")
	test.Check(t, err)
	chosen := map[string]*regexp.Regexp{}
	for _, m := range regexp.MustCompile(`(?m)^(root|pool|supervisor)='(.*)'$`).FindAllStringSubmatch(string(script), -1) {
		chosen[strings.Replace(m[1], "root", ".", 1)] = regexp.MustCompile(m[2])
	}
	test.Equal(t, len(chosen), 3)
	defined := testsByName(t)
	runs := func(name string) bool {
		for _, dir := range defined[name] {
			if re := chosen[dir]; strings.HasPrefix(dir, "internal/") || re != nil && re.MatchString(name) {
				return true
			}
		}
		return false
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

var namesOfTests = regexp.MustCompile(`\bTest[A-Z]\w+`)

// testsByName finds the directories of all tests of this repository.
func testsByName(t *testing.T) map[string][]string {
	t.Helper()
	defined := map[string][]string{}
	test.Check(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
			defined[string(m[1])] = append(defined[string(m[1])], filepath.ToSlash(filepath.Dir(path)))
		}
		return err
	}))
	return defined
}
