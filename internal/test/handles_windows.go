package test

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

var kernel32 = windows.NewLazySystemDLL("kernel32.dll")

// HandleCount counts this process's handles, those of Go's threads too.
func HandleCount(t testing.TB) int {
	t.Helper()
	var n uint32
	proc := kernel32.NewProc("GetProcessHandleCount")
	if ok, _, err := proc.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&n))); ok == 0 {
		t.Fatal(err)
	}
	if n == 0 { // Wine 8
		return listHandles(t)
	}
	return int(n)
}

// listHandles finds this process's handles among those of all.
func listHandles(t testing.TB) (n int) {
	t.Helper()
	type entry struct {
		object                  uintptr
		pid, handle             uintptr
		access                  uint32
		creator, typ            uint16
		attributes, unspecified uint32
	}
	const header = 2 * unsafe.Sizeof(uintptr(0))
	buf := make([]uintptr, 1<<20)
	size := uint32(len(buf)) * uint32(unsafe.Sizeof(buf[0]))
	err := windows.NtQuerySystemInformation(windows.SystemExtendedHandleInformation, unsafe.Pointer(&buf[0]), size, nil)
	Check(t, err)
	for _, e := range unsafe.Slice((*entry)(unsafe.Add(unsafe.Pointer(&buf[0]), header)), buf[0]) {
		if e.pid == uintptr(os.Getpid()) {
			n++
		}
	}
	return n
}

// IsInheritable says whether processes that this one starts may get a handle.
func IsInheritable(t testing.TB, h windows.Handle) bool {
	t.Helper()
	is, err := Inheritable(h)
	Check(t, err)
	return is
}

// Inheritable is IsInheritable for a child of a test.
func Inheritable(h windows.Handle) (bool, error) {
	var flags uint32
	proc := kernel32.NewProc("GetHandleInformation")
	if ok, _, err := proc.Call(uintptr(h), uintptr(unsafe.Pointer(&flags))); ok == 0 {
		return false, err
	}
	return flags&windows.HANDLE_FLAG_INHERIT != 0, nil
}
