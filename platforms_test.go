package gipc

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
	defined := map[string]bool{}
	test.Check(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
			defined[string(m[1])] = true
		}
		return err
	}))
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(page), -1)
	if len(named) < 50 {
		t.Fatalf("%d tests are named", len(named))
	}
	for _, name := range named {
		if !defined[name] {
			t.Errorf("there is no %s", name)
		}
	}
}
