package fd

import (
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// defaultPipeSize is the capacity of a pipe for which none was asked, in bytes.
const defaultPipeSize = 64 << 10

// Pipe is an end of a pipe: a named pipe, since only its ends can be opened for overlapped I/O, which deadlines need.
//
// It stays a bare handle until it is first used here, because os.NewFile ties a handle to
// this process's completion port: a child that got it after that could not tie it to its own, and had no deadlines.
type Pipe struct {
	used atomic.Pointer[usedPipe]

	mu       sync.Mutex
	handle   windows.Handle  // while used is nil; InvalidHandle if closed
	dropped  runtime.Cleanup // closes handle with an end that is forgotten
	deadline time.Time       // for the file, set before there is one
	tied     bool            // to another process's completion port: no deadlines
}

// End is an end of a pipe.
type End = *Pipe

// usedPipe is an end in use.
type usedPipe struct {
	*os.File
	rc        syscall.RawConn
	peek      func(fd uintptr)
	askRoom   func(fd uintptr)
	available uint32 // what peek found of bytes to read, or askRoom of room for them
	err       error
}

func openHandle(h windows.Handle) *Pipe {
	f := &Pipe{}
	f.setHandle(h)
	return f
}

func (f *Pipe) setHandle(h windows.Handle) {
	f.handle = h
	f.dropped = runtime.AddCleanup(f, func(h windows.Handle) { _ = windows.CloseHandle(h) }, h)
}

// take takes the bare handle away. mu is held.
func (f *Pipe) take() (windows.Handle, error) {
	if f.handle == windows.InvalidHandle {
		return 0, os.ErrClosed
	}
	f.dropped.Stop()
	h := f.handle
	f.handle = windows.InvalidHandle
	return h, nil
}

// use returns the end for reading and writing.
func (f *Pipe) use() (*usedPipe, error) {
	if u := f.used.Load(); u != nil {
		return u, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.used.Load(); u != nil {
		return u, nil
	}
	h, err := f.take()
	if err != nil {
		return nil, err
	}
	u := &usedPipe{File: os.NewFile(uintptr(h), "pipe")}
	if u.rc, err = u.SyscallConn(); err != nil {
		return nil, err
	}
	u.peek = func(fd uintptr) { u.available, u.err = peekPipe(fd) }
	u.askRoom = func(fd uintptr) { u.available, u.err = pipeRoom(fd) }
	if !f.deadline.IsZero() {
		_ = u.SetReadDeadline(f.deadline)
		f.deadline = time.Time{} // from now on it is the file's
	}
	f.used.Store(u)
	return u, nil
}

func (f *Pipe) Read(p []byte) (int, error) {
	u, err := f.use()
	if err != nil {
		return 0, err
	}
	n, err := u.Read(p)
	if err == io.EOF && len(p) > 0 && u.wait() == nil {
		return 0, nil // somebody wrote zero bytes
	}
	return n, err
}

func (f *Pipe) Write(p []byte) (int, error) {
	u, err := f.use()
	if err != nil {
		return 0, err
	}
	return u.Write(p)
}

// SetReadDeadline is that of the file.
func (f *Pipe) SetReadDeadline(t time.Time) error {
	if u := f.used.Load(); u != nil && !f.tied {
		return u.SetReadDeadline(t)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tied {
		return os.ErrNoDeadline
	}
	if u := f.used.Load(); u != nil {
		return u.SetReadDeadline(t)
	}
	f.deadline = t
	return nil
}

// Close wakes whoever reads or writes.
func (f *Pipe) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.used.Load(); u != nil {
		return u.Close()
	}
	h, err := f.take()
	if err != nil {
		return err
	}
	return os.NewSyscallError("CloseHandle", windows.CloseHandle(h))
}
