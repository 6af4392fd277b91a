package gipc

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// docs/platforms.md says which test holds what: each that it names is there.
func TestPlatformsNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("docs/platforms.md")
	need(t, err)
	var files []string
	for _, pattern := range []string{"*_test.go", "examples/*/*_test.go"} {
		found, err := filepath.Glob(pattern)
		need(t, err)
		files = append(files, found...)
	}
	defined := map[string]bool{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		need(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
			defined[string(m[1])] = true
		}
	}
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
