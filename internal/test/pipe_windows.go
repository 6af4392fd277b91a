package test

import (
	"crypto/rand"
	"testing"

	"golang.org/x/sys/windows"
)

// MessagePipe returns a pipe of messages, whose write end is synchronous: Wine passes zero bytes on in no other.
func MessagePipe(t testing.TB) (r, w windows.Handle) {
	t.Helper()
	name, err := windows.UTF16PtrFromString(`\\.\pipe\gipc-test-` + rand.Text())
	Check(t, err)
	r, err = windows.CreateNamedPipe(name, windows.PIPE_ACCESS_INBOUND|windows.FILE_FLAG_OVERLAPPED,
		windows.PIPE_TYPE_MESSAGE|windows.PIPE_READMODE_MESSAGE, 1, 1<<10, 1<<10, 0, nil)
	Check(t, err)
	w, err = windows.CreateFile(name, windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, 0, 0)
	Check(t, err)
	return r, w
}
