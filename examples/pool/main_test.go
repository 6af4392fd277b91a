package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// asProgram in the environment makes the test binary the program itself: it, and its workers, run main.
const asProgram = "POOL_TEST_RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const answers = `(?s)^HELLO! <nil>\n .*crashed: nothing to shout\nWORLD! <nil>\n$`

func TestPrintsTheAnswers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(cmd.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0") // else each exit takes a second
	out, err := cmd.Output()
	if err != nil || !regexp.MustCompile(answers).Match(out) {
		t.Errorf("%q, %v", out, err)
	}
}

func TestREADMEHasThisProgram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(lines(program), "\n") // without the comment on the package
	if !strings.Contains(lines(readme), "```go\n"+code+"```\n") {
		t.Error("README.md does not contain main.go")
	}
}

// lines has line ends of one byte, whatever git made of them.
func lines(text []byte) string { return strings.ReplaceAll(string(text), "\r\n", "\n") }
