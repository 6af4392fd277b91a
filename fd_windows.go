package gipc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// A pipe is a named pipe, since only its ends can be opened for overlapped I/O, which deadlines need. The sizes are in
// bytes. A read or write that has to wait takes as much of the kernel's non-paged memory as it asks for (MSDN,
// CreateNamedPipe, Remarks), so that long ones go in pieces.
const (
	defaultPipeSize = 64 << 10
	maxRead         = 64 << 10
	maxWrite        = 64 << 10
)

// pipeFile is an end of a pipe. It stays a bare handle until it is first used here, because os.NewFile ties a handle to
// this process's completion port: a child that got it after that could not tie it to its own, and had no deadlines.
type pipeFile struct {
	used atomic.Pointer[usedPipe]

	mu       sync.Mutex
	handle   windows.Handle  // while used is nil; InvalidHandle if closed
	dropped  runtime.Cleanup // closes handle with an end that is forgotten
	deadline time.Time       // for the file, set before there is one
	tied     bool            // to another process's completion port: no deadlines
}

type pipeEnd = *pipeFile

// usedPipe is an end in use.
type usedPipe struct {
	*os.File
	rc        syscall.RawConn
	peek      func(fd uintptr)
	askRoom   func(fd uintptr)
	available uint32 // what peek found of bytes to read, or askRoom of room for them
	err       error
}

func newPipeFile(h windows.Handle) *pipeFile {
	f := &pipeFile{}
	f.setHandle(h)
	return f
}

func (f *pipeFile) setHandle(h windows.Handle) {
	f.handle = h
	f.dropped = runtime.AddCleanup(f, func(h windows.Handle) { _ = windows.CloseHandle(h) }, h)
}

// take takes the bare handle away. mu is held.
func (f *pipeFile) take() (windows.Handle, error) {
	if f.handle == windows.InvalidHandle {
		return 0, os.ErrClosed
	}
	f.dropped.Stop()
	h := f.handle
	f.handle = windows.InvalidHandle
	return h, nil
}

// use returns the end for reading and writing.
func (f *pipeFile) use() (*usedPipe, error) {
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

func (f *pipeFile) Read(p []byte) (int, error) {
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

func (f *pipeFile) Write(p []byte) (int, error) {
	u, err := f.use()
	if err != nil {
		return 0, err
	}
	return u.Write(p)
}

// wait finds out how many bytes can be read now.
func (u *usedPipe) wait() error {
	u.available, u.err = 0, nil
	if err := u.rc.Control(u.peek); err != nil {
		return err
	}
	return u.err
}

// room finds out how many bytes can be written now. It is not for two goroutines at once.
func (f *pipeFile) room() int {
	u, err := f.use()
	if err != nil {
		return 0
	}
	u.available, u.err = 0, nil
	if u.rc.Control(u.askRoom) != nil || u.err != nil {
		return 0
	}
	return int(u.available)
}

// SetReadDeadline has no counterpart for writing: see pipeSink.
func (f *pipeFile) SetReadDeadline(t time.Time) error {
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
func (f *pipeFile) Close() error {
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

// duplicate returns a second handle of an end that nobody uses at present. An end that has been used is untied from the
// completion port and becomes a bare handle again; where that fails, as under Wine, it stays what it is.
func (f *pipeFile) duplicate() (inheritable, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.used.Load()
	if u == nil {
		if f.handle == windows.InvalidHandle {
			return 0, os.ErrClosed
		}
		return duplicateHandle(f.handle)
	}
	var mine, theirs inheritable
	var errDup, errUntie error
	err := u.rc.Control(func(fd uintptr) {
		h := windows.Handle(fd)
		if theirs, errDup = duplicateHandle(h); errDup != nil {
			return
		}
		if mine, errUntie = duplicateHandle(h); errUntie != nil { // before untie, which can't be taken back
			return
		}
		if errUntie = untie(h); errUntie != nil {
			_ = mine.Close()
		}
	})
	if err = errors.Join(err, errDup); err != nil {
		return 0, err
	}
	if errUntie == nil {
		f.setHandle(windows.Handle(mine))
		f.used.Store(nil)
		_ = u.Close() // the handle is a duplicate's now
	}
	return theirs, nil
}

// deadlinesTravel says whether a child that gets the stream's duplicate will have deadlines, as they are had here.
func deadlinesTravel(stream io.Closer) bool {
	f, ok := stream.(*pipeFile)
	return ok && f.used.Load() == nil
}

// newPipe returns the two ends of a pipe.
func newPipe(size int) (r, w pipeEnd, err error) {
	hr, hw, err := createPipe(newPipeName(), size, windows.FILE_FLAG_OVERLAPPED)
	if err != nil {
		return nil, nil, err
	}
	return newPipeFile(hr), newPipeFile(hw), nil
}

// newOutputPipe returns a pipe whose write end, for a child's output, is a synchronous handle, as all programs expect.
func newOutputPipe() (r pipeEnd, w *os.File, err error) {
	hr, hw, err := createPipe(newPipeName(), 0, 0)
	if err != nil {
		return nil, nil, err
	}
	return newPipeFile(hr), os.NewFile(uintptr(hw), "pipe"), nil
}

// newPipeName can't be guessed.
func newPipeName() string { return fmt.Sprintf(`\\.\pipe\gipc-%d-%s`, os.Getpid(), rand.Text()) }

// createPipe makes a pipe that nobody else can open: its first and only instance, and the only connection to it, are ours.
func createPipe(path string, size int, writeFlags uint32) (r, w windows.Handle, err error) {
	if size <= 0 {
		size = defaultPipeSize
	}
	security, err := currentUserOnly()
	if err != nil {
		return 0, 0, err
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, 0, err
	}
	r, err = windows.CreateNamedPipe(name,
		windows.PIPE_ACCESS_INBOUND|windows.FILE_FLAG_OVERLAPPED|windows.FILE_FLAG_FIRST_PIPE_INSTANCE,
		windows.PIPE_TYPE_BYTE|windows.PIPE_REJECT_REMOTE_CLIENTS,
		1, uint32(min(size, 1<<30)), uint32(min(size, 1<<30)), 0, security)
	if err != nil {
		return 0, 0, os.NewSyscallError("CreateNamedPipe", err)
	}
	// No ConnectNamedPipe: a client that comes before it is connected too.
	w, err = windows.CreateFile(name, windows.GENERIC_WRITE|windows.FILE_READ_ATTRIBUTES, 0, nil,
		windows.OPEN_EXISTING, writeFlags, 0)
	if err != nil {
		_ = windows.CloseHandle(r)
		return 0, 0, os.NewSyscallError("CreateFile", err)
	}
	return r, w, nil
}

// currentUserOnly is an access list with one entry: everything, for the user that this process runs as.
var currentUserOnly = sync.OnceValues(func() (*windows.SecurityAttributes, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, os.NewSyscallError("GetTokenInformation", err)
	}
	sd, err := windows.SecurityDescriptorFromString("D:P(A;;GA;;;" + user.User.Sid.String() + ")")
	if err != nil {
		return nil, os.NewSyscallError("ConvertStringSecurityDescriptorToSecurityDescriptor", err)
	}
	return &windows.SecurityAttributes{
		Length: uint32(unsafe.Sizeof(windows.SecurityAttributes{})), SecurityDescriptor: sd,
	}, nil
})

// fdNumber is for String; -1 where there is none.
func fdNumber(stream any) (n int) {
	n = -1
	switch f := stream.(type) {
	case *pipeFile:
		if u := f.used.Load(); u != nil {
			return fdNumber(u.File)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		n = int(f.handle)
	case *os.File:
		if rc, err := f.SyscallConn(); err == nil {
			_ = rc.Control(func(fd uintptr) { n = int(fd) })
		}
	}
	return n
}

// fdReader reads a stream that has deadlines. Where it is a pipe, much memory is borrowed only when bytes are there.
type fdReader struct {
	stream io.Reader
	pipe   *pipeFile // nil where the stream is none
}

func newFDReader(stream io.Reader) fdReader {
	f, _ := stream.(*pipeFile)
	return fdReader{stream, f}
}

func (r *fdReader) read(mem lender) (int, error) {
	if r.pipe == nil {
		return readSome(r.stream, mem)
	}
	u, err := r.pipe.use()
	if err != nil {
		return 0, err
	}
	if u.wait() != nil || u.available == 0 {
		return readSome(r.pipe, mem)
	}
	return r.pipe.Read(mem.lend(false))
}

// isPeerClosed says whether a write's error means that nobody can read any more.
func isPeerClosed(err error) bool {
	for _, gone := range []error{
		windows.ERROR_NO_DATA, windows.ERROR_BROKEN_PIPE, windows.ERROR_PIPE_NOT_CONNECTED,
		windows.WSAECONNRESET, windows.WSAECONNABORTED,
	} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

var procPeekNamedPipe = windows.NewLazySystemDLL("kernel32.dll").NewProc("PeekNamedPipe")

func peekPipe(fd uintptr) (available uint32, err error) {
	ok, _, err := syscall.SyscallN(procPeekNamedPipe.Addr(), fd, 0, 0, 0, uintptr(unsafe.Pointer(&available)), 0)
	if ok == 0 {
		return 0, err
	}
	return available, nil
}
