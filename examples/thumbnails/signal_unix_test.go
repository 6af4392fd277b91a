//go:build unix

package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

var listening = regexp.MustCompile(`listening addr=(\S+)`)

// startProgram starts the program and returns where it listens, and what it will have returned.
func startProgram(t *testing.T) (program *os.Process, addr string, end <-chan error) {
	t.Helper()
	self, err := os.Executable()
	test.Check(t, err)
	cmd := exec.Command(self, "-addr", "127.0.0.1:0")
	cmd.Env = append(cmd.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0") // else each exit takes a second
	stderr, err := cmd.StderrPipe()
	test.Check(t, err)
	test.Check(t, cmd.Start())
	addrs, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		defer close(addrs)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				addrs <- m[1]
			}
		}
		ended <- cmd.Wait()
	}()
	addr, ok := <-addrs
	if !ok {
		t.Fatal("the program ended: ", <-ended)
	}
	return cmd.Process, addr, ended
}

// SIGTERM drains the service, also if a service manager sends it to all processes.
func TestSIGTERM(t *testing.T) {
	program, addr, end := startProgram(t)
	r := &running{addr: addr}
	hold, result := r.begin(t, test.Context(t), "wait")
	test.Check(t, worker(t, hold).Signal(syscall.SIGTERM))
	test.Check(t, program.Signal(syscall.SIGTERM))
	test.Eventually(t, "no more connections are taken", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	test.Check(t, os.Remove(hold))
	wantThumbnail(t, <-result)
	test.Check(t, <-end)
}
