package fd

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// wait finds out how many bytes can be read now.
func (u *usedPipe) wait() error {
	u.available, u.err = 0, nil
	if err := u.rc.Control(u.peek); err != nil {
		return err
	}
	return u.err
}

// Readable finds out how many bytes can be read now. It is not for two goroutines at once.
func (f *Pipe) Readable() (int, error) {
	u, err := f.use()
	if err != nil {
		return 0, err
	}
	err = u.wait()
	return int(u.available), err
}

// Room finds out how many bytes can be written now; 0 where the system doesn't tell. It is not for two goroutines at once.
func (f *Pipe) Room() int {
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

var procPeekNamedPipe = windows.NewLazySystemDLL("kernel32.dll").NewProc("PeekNamedPipe")

func peekPipe(fd uintptr) (available uint32, err error) {
	ok, _, err := syscall.SyscallN(procPeekNamedPipe.Addr(), fd, 0, 0, 0, uintptr(unsafe.Pointer(&available)), 0)
	if ok == 0 {
		return 0, err
	}
	return available, nil
}

var procNtQueryInformationFile = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtQueryInformationFile")

// pipeRoom says how many bytes a pipe takes at once (MSDN, FILE_PIPE_LOCAL_INFORMATION). Wine 8 always says 0.
func pipeRoom(fd uintptr) (uint32, error) {
	const filePipeLocalInformation = 24
	var info struct {
		pipeType, configuration, maximumInstances, currentInstances uint32
		inboundQuota, readDataAvailable, outboundQuota              uint32
		writeQuotaAvailable, state, end                             uint32
	}
	var status windows.IO_STATUS_BLOCK
	code, _, _ := syscall.SyscallN(procNtQueryInformationFile.Addr(), fd, uintptr(unsafe.Pointer(&status)),
		uintptr(unsafe.Pointer(&info)), unsafe.Sizeof(info), filePipeLocalInformation)
	if code != 0 {
		return 0, windows.NTStatus(code)
	}
	return info.writeQuotaAvailable, nil
}

// Number returns the number of a stream's handle, or -1 where there is none.
func Number(stream any) (n int) {
	n = -1
	switch f := stream.(type) {
	case *Pipe:
		if u := f.used.Load(); u != nil {
			return Number(u.File)
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

// SetWriteDeadline is that of the file. What a write that met it has written is unknown.
func (f *Pipe) SetWriteDeadline(t time.Time) error {
	u, err := f.use()
	if err != nil {
		return err
	}
	return u.SetWriteDeadline(t)
}
