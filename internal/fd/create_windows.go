package fd

import (
	"crypto/rand"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

// NewPipe returns the two ends of a pipe.
func NewPipe(size int) (r, w End, err error) {
	hr, hw, err := createPipe(newPipeName(), size, windows.FILE_FLAG_OVERLAPPED)
	if err != nil {
		return nil, nil, err
	}
	return openHandle(hr), openHandle(hw), nil
}

// NewOutputPipe returns a pipe whose write end, for a child's output, is a synchronous handle, as all programs expect.
func NewOutputPipe() (r End, w *os.File, err error) {
	hr, hw, err := createPipe(newPipeName(), 0, 0)
	if err != nil {
		return nil, nil, err
	}
	return openHandle(hr), os.NewFile(uintptr(hw), "pipe"), nil
}

// NewChildPipe returns an end of a pipe for this process, and the other for a child, which reads from it if childReads.
func NewChildPipe(childReads bool, size int) (mine End, theirs Inheritable, err error) {
	mine, other, err := NewPipe(size)
	if err != nil {
		return nil, theirs, err
	}
	if childReads {
		mine, other = other, mine
	}
	if theirs, err = Give(other); err != nil {
		_, _ = mine.Close(), other.Close()
		return nil, theirs, err
	}
	return mine, theirs, nil
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
