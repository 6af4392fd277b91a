package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal returns both sides of a terminal: what is written to inside comes out of outside.
func terminal(t *testing.T) (outside, inside *os.File) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminal can be made: ", err)
	}
	t.Cleanup(func() { _ = outside.Close() })
	fd := int(outside.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) // unlocks it
	}
	if err != nil {
		t.Fatal(err)
	}
	inside, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("the terminal can't be opened here: ", err)
	}
	return outside, inside
}

// On a terminal there is a line that tells how many files are counted; elsewhere, as the other tests have it, nothing.
func TestProgressOnATerminal(t *testing.T) {
	root, want := makeTree(t)
	outside, inside := terminal(t)
	cmd := program(t, root)
	cmd.Stderr = inside
	shown := make(chan string)
	go func() {
		text, _ := io.ReadAll(outside) // its end is an error: nobody has the inside any more
		shown <- string(text)
	}()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := inside.Close(); err != nil {
		t.Fatal(err)
	}
	lines := ""
	for i := range len(want) {
		lines += fmt.Sprintf("%d of %d files\r", i+1, len(want))
	}
	if text := <-shown; text != lines {
		t.Errorf("the terminal shows %q, want %q", text, lines)
	}
	if strings.Contains(string(out), "\r") {
		t.Error("progress is in the output")
	}
}
