package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// asProgram in the environment makes the test binary the program itself: it, and its workers, run main.
const asProgram = "QUICKSTART_TEST_RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(cmd.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0") // else each exit takes a second
	return cmd
}

func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := program(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// makeTree writes files that are awkward in several ways, and returns the line that the program should print for each.
func makeTree(t *testing.T) (root string, want map[string]string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]string{
		"empty.txt":          "",
		"no end.txt":         "a line without an end",
		"sub/deep/words.txt": "one\ttwo  three\r\n\n four\v five\f\n",
		"sub/binary.bin":     "\x00\xff\n\x80 \x00",
		"big.txt":            strings.Repeat("many words ", 1_000_000) + "\n",
		"noext":              "x\n",
	}
	for i := range 40 {
		contents[fmt.Sprintf("many/%02d.go", i)] = strings.Repeat("line\n", i)
	}
	if runtime.GOOS == "linux" {
		contents["bad\xff\xfename.txt"] = "what a name\n"
	}
	want = map[string]string{}
	for name, text := range contents {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		lines, words := strings.Count(text, "\n"), len(strings.Fields(text))
		want[path] = fmt.Sprintf("%d %d %d %s", lines, words, len(text), strconv.Quote(path))
	}
	if err := os.MkdirAll(filepath.Join(root, ".git"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, ".git", "config"), []byte("not counted\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return root, want
}

var spaces = regexp.MustCompile(` +`)

// filesIn returns the lines that the program prints for each file.
func filesIn(stdout string) []string {
	var found []string
	for line := range strings.Lines(stdout) {
		fields := strings.SplitN(spaces.ReplaceAllString(strings.TrimSpace(line), " "), " ", 4)
		if len(fields) == 4 && fields[3][0] == '"' {
			found = append(found, strings.Join(fields[:3], " ")+" "+strings.TrimSpace(line[strings.Index(line, `"`):]))
		}
	}
	slices.Sort(found)
	return found
}

func linesOf(want map[string]string) []string {
	var all []string
	for _, line := range want {
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// totals returns the numbers of the last row.
func totals(t *testing.T, stdout string) (files, lines, words, size int) {
	t.Helper()
	rows := strings.Split(strings.TrimSpace(stdout), "\n")
	if _, err := fmt.Sscanf(rows[len(rows)-1], "%d %d %d total of %d files", &lines, &words, &size, &files); err != nil {
		t.Fatalf("no totals: %v\n%s", err, stdout)
	}
	return files, lines, words, size
}

func sumUp(t *testing.T, lines []string) (n [4]int) {
	t.Helper()
	for _, line := range lines {
		var l, w, b int
		if _, err := fmt.Sscan(line, &l, &w, &b); err != nil {
			t.Fatal(err)
		}
		n[0]++
		n[1] += l
		n[2] += w
		n[3] += b
	}
	return n
}

func TestCountsEveryFileOnce(t *testing.T) {
	root, want := makeTree(t)
	stdout, stderr, code := run(t, root)
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	compare(t, filesIn(stdout), linesOf(want))
	var got [4]int
	got[0], got[1], got[2], got[3] = totals(t, stdout)
	if want := sumUp(t, linesOf(want)); got != want {
		t.Errorf("totals %v, want %v", got, want)
	}
}

func TestCrashLosesOnlyItsFile(t *testing.T) {
	root, want := makeTree(t)
	stdout, stderr, code := run(t, "-crash", root)
	if code != 0 {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	lost := 0
	for path := range want {
		if strings.Contains(stderr, "not counted: "+strconv.Quote(path)+": ") {
			delete(want, path)
			lost++
		}
	}
	if lost != 1 {
		t.Fatalf("%d files are named:\n%s", lost, stderr)
	}
	for _, part := range []string{"crashed: told to crash", "goroutine ", "main.go:"} {
		if strings.Count(stderr, part) == 0 {
			t.Errorf("no %q in\n%s", part, stderr)
		}
	}
	compare(t, filesIn(stdout), linesOf(want))
	if files, _, _, _ := totals(t, stdout); files != len(want) {
		t.Errorf("%d files in all, want %d", files, len(want))
	}
}

func TestThisRepository(t *testing.T) {
	cmd := program(t) // without a path, as the README has it
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	err = filepath.WalkDir(cmd.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == ".git" && d.IsDir() {
			return fs.SkipDir
		}
		if err == nil && d.Type().IsRegular() {
			want++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files, _, _, _ := totals(t, string(out)); files != want {
		t.Errorf("%d files, want %d", files, want)
	}
}

func TestMissingPath(t *testing.T) {
	root, _ := makeTree(t)
	missing := filepath.Join(root, "nosuch")
	stdout, stderr, code := run(t, root, missing)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "nosuch") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestEmptyTree(t *testing.T) {
	for _, args := range [][]string{{t.TempDir()}, {"-crash", t.TempDir()}} {
		stdout, stderr, code := run(t, args...)
		if code != 0 || stderr != "" {
			t.Errorf("%v: exit code %d, stderr %q", args, code, stderr)
		}
		if files, _, _, _ := totals(t, stdout); files != 0 {
			t.Errorf("%d files in an empty tree", files)
		}
	}
}

func TestUnreadableFileIsReported(t *testing.T) {
	root, want := makeTree(t)
	var bad string
	switch {
	case runtime.GOOS == "windows":
		t.Skip("a file's mode doesn't make it unreadable on Windows")
	case os.Getuid() != 0:
		bad = filepath.Join(root, "unreadable")
		if err := os.WriteFile(bad, []byte("secret"), 0); err != nil {
			t.Fatal(err)
		}
	case runtime.GOOS == "linux":
		bad = "/proc/self/mem" // can be opened, but not read
	default:
		t.Skip("everything is readable for root")
	}
	stdout, stderr, code := run(t, root, bad)
	if code != 0 || strings.Count(stderr, "not counted: ") != 1 || !strings.Contains(stderr, filepath.Base(bad)) {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	compare(t, filesIn(stdout), linesOf(want))
}

func TestRootMayBeALink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("making a symbolic link needs a privilege on Windows")
	}
	root, want := makeTree(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := run(t, link)
	if files, _, _, _ := totals(t, stdout); files != len(want) || code != 0 {
		t.Errorf("%d files, want %d; exit code %d, stderr %q", files, len(want), code, stderr)
	}
}

func TestFileTooLargeIsReported(t *testing.T) {
	root, want := makeTree(t)
	large := filepath.Join(root, "large")
	f, err := os.Create(large)
	if err == nil {
		err = errors.Join(f.Truncate(1<<40), f.Close())
	}
	if err != nil {
		t.Skip("no sparse files: ", err)
	}
	stdout, stderr, code := run(t, root)
	if code != 0 || !strings.Contains(stderr, "not counted: "+strconv.Quote(large)+": gipc/pool: task count: it has more than 1 GiB") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	compare(t, filesIn(stdout), linesOf(want))
}
