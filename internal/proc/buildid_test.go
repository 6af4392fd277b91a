package proc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func TestFindID(t *testing.T) {
	const note = "\x04\x00\x00\x00Go\x00\x00"
	text := strings.Repeat("\x00", 100)
	for name, c := range map[string]struct{ file, id string }{
		"ELF note":            {text + "\x03\x00\x00\x00" + note + "a/b" + text, "a/b"},
		"ELF note, cut":       {text + "\xff\x00\x00\x00" + note + "a/b", ""},
		"ELF note, at once":   {note + "a/b", ""},
		"text":                {text + "\xff Go build ID: \"a/b\"\n \xff" + text, "a/b"},
		"text, cut":           {text + "\xff Go build ID: \"a/b", ""},
		"nothing":             {text, ""},
		"empty":               {"", ""},
		"a note, but too big": {"\xff\xff\xff\xff" + note + "a/b", ""},
	} {
		if got := findID([]byte(c.file)); got != c.id {
			t.Errorf("%s: %q, want %q", name, got, c.id)
		}
	}
}

// The build ID is what stands in the program's file, where go tool buildid finds it too.
func TestBuildIDIsTheLinkers(t *testing.T) {
	path, err := os.Executable()
	test.Check(t, err)
	content, err := os.ReadFile(path)
	test.Check(t, err)
	id, _ := linkedID()
	if id == "" || !strings.Contains(string(content), id) || strings.Count(id, "/") != 3 {
		t.Errorf("%q", id)
	}
	test.Equal(t, BuildID(), id)
	test.Equal(t, findID(content), id)
}

// Builds that can be reproduced often have the same times.
func TestFilesOfEqualSizeAndTimeAreTold(t *testing.T) {
	dir, then := t.TempDir(), time.Unix(0, 0)
	ids := map[string]string{}
	for _, name := range []string{"one", "two"} {
		path := filepath.Join(dir, name)
		test.Check(t, os.WriteFile(path, []byte(name), 0o666))
		test.Check(t, os.Chtimes(path, then, then))
		ids[identifyFile(path)] = name
		test.Equal(t, ids[identifyFile(path)], name)
	}
	if len(ids) != 2 || ids[""] != "" {
		t.Errorf("%q", ids)
	}
	test.Equal(t, identifyFile(filepath.Join(dir, "three")), "")
}

func TestFileIDIsTheFiles(t *testing.T) {
	if FileID() == "" || identify() != FileID() {
		t.Errorf("%q, now %q", FileID(), identify())
	}
	path, _, err := executable()
	test.Check(t, err)
	if !filepath.IsAbs(path) {
		t.Errorf("a child of another directory would not find %s", path)
	}
}
