package gipcnats

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func lines(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	test.Check(t, err)
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func remove(t testing.TB, path string) {
	t.Helper()
	test.Check(t, os.Remove(path))
}

func matches(t testing.TB, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	test.Check(t, err)
	return found
}
