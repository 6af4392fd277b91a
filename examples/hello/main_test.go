package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asProgram in the environment makes the test binary the program itself: it, and its child, run main.
const asProgram = "HELLO_TEST_RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPrintsTheAnswer(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(cmd.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0") // else each exit takes a second
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "HELLO!\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestGuideHasThisProgram(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(lines(program), "\n") // without the comment on the package
	if !strings.Contains(lines(guide), "```go\n"+code+"```\n") {
		t.Error("docs/guide.md does not contain main.go")
	}
}

// lines has line ends of one byte, whatever git made of them.
func lines(text []byte) string { return strings.ReplaceAll(string(text), "\r\n", "\n") }
