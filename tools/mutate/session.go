package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ending is how a run of tests ended.
type ending int

const (
	passed ending = iota
	failed
	hung // it was killed, because it took too long
)

// extensions is how often a run that still uses the processor gets as much time again: other work may slow it down.
const extensions = 3

// runTests runs a test binary in a session of its own, and leaves nothing of it.
func runTests(pkg, binary string, limit time.Duration, flags ...string) (out string, end ending) {
	var both bytes.Buffer
	cmd := exec.Command(binary, append([]string{"-test.short"}, flags...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = pkg, &both, &both
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second // its descendants may hold the pipe
	if err := cmd.Start(); err != nil {
		return err.Error(), failed
	}
	session := cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err, inTime := awaitEnd(session, ended, limit)
	endSession(session)
	if !inTime {
		<-ended
		return both.String(), hung
	}
	if err != nil {
		return both.String(), failed
	}
	return both.String(), passed
}

// awaitEnd waits for the end of a run, for as long as it may take.
func awaitEnd(session int, ended <-chan error, limit time.Duration) (err error, inTime bool) {
	const look = 3 * time.Second
	for range 1 + extensions {
		select {
		case err := <-ended:
			return err, true
		case <-time.After(limit):
		}
		before := ticks(session)
		select {
		case err := <-ended:
			return err, true
		case <-time.After(look):
		}
		const idle = 3 // hundredths of a second that a program uses which waits for ever
		if ticks(session)-before <= idle {
			break
		}
	}
	return nil, false
}

// eachOf calls f with the pid of each process of a session, and the fields of its stat from the state on (proc(5)). Children of
// gipc have groups of their own, but no sessions.
func eachOf(session int, f func(pid int, fields []string)) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && len(fields) > 12 && fields[3] == strconv.Itoa(session) {
			f(pid, fields)
		}
	}
}

// endSession kills what a test has left: changed code may not end its children.
func endSession(session int) {
	eachOf(session, func(pid int, _ []string) { _ = syscall.Kill(pid, syscall.SIGKILL) })
}

// ticks returns how long a session has used the processor, in hundredths of a second.
func ticks(session int) (sum int) {
	eachOf(session, func(_ int, fields []string) {
		for _, field := range fields[11:13] { // in user mode, and in the kernel
			n, _ := strconv.Atoi(field)
			sum += n
		}
	})
	return sum
}
