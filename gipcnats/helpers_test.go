package gipcnats

import (
	"os"
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
