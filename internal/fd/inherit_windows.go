package fd

import (
	"errors"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Inheritable is a handle for a child.
type Inheritable windows.Handle

// Close closes the handle.
func (h Inheritable) Close() error {
	return os.NewSyscallError("CloseHandle", windows.CloseHandle(windows.Handle(h)))
}

// Give makes an end of a new pipe, which is not used here, inheritable. The end is gone afterwards.
func Give(end End) (Inheritable, error) {
	end.mu.Lock()
	defer end.mu.Unlock()
	h, err := end.take()
	return Inheritable(h), err
}

// GiveFile does so with a file.
func GiveFile(f *os.File) (Inheritable, error) {
	h, err := Duplicate(f)
	if err != nil {
		return 0, err
	}
	return h, f.Close()
}

// Duplicate returns a second handle of a stream's file. The error is ErrNoFile if the stream is neither an End nor a file.
func Duplicate(stream io.Closer) (Inheritable, error) {
	switch f := stream.(type) {
	case *Pipe:
		return f.duplicate()
	case *os.File:
		rc, err := f.SyscallConn()
		if err != nil {
			return 0, err
		}
		var h Inheritable
		var errDup error
		err = rc.Control(func(fd uintptr) { h, errDup = duplicateHandle(windows.Handle(fd)) })
		return h, errors.Join(err, errDup)
	}
	return 0, ErrNoFile
}

// DuplicateFile does so with a file that moves as a file. Fd unties it from this process's completion port, if it was tied:
// else the child could not tie it to its own, as package net must with a socket.
func DuplicateFile(f *os.File) (Inheritable, error) {
	f.Fd()
	return Duplicate(f)
}

func duplicateHandle(h windows.Handle) (Inheritable, error) {
	var dup windows.Handle
	self := windows.CurrentProcess()
	err := windows.DuplicateHandle(self, h, self, &dup, 0, false, windows.DUPLICATE_SAME_ACCESS)
	return Inheritable(dup), os.NewSyscallError("DuplicateHandle", err)
}

// untie takes a file off its completion port (MSDN, FILE_COMPLETION_INFORMATION), so that another process can tie it to
// its own. No operation may be under way. A variable because Wine 8 can't do it.
var untie = func(h windows.Handle) error {
	var none struct{ port, key uintptr }
	var status windows.IO_STATUS_BLOCK
	return windows.NtSetInformationFile(h, &status, (*byte)(unsafe.Pointer(&none)), uint32(unsafe.Sizeof(none)),
		windows.FileReplaceCompletionInformation)
}

// duplicate returns a second handle of an end that nobody uses at present. An end that has been used is untied from the
// completion port and becomes a bare handle again; where that fails, as under Wine, it stays what it is.
func (f *Pipe) duplicate() (Inheritable, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.used.Load()
	if u == nil {
		if f.handle == windows.InvalidHandle {
			return 0, os.ErrClosed
		}
		return duplicateHandle(f.handle)
	}
	var mine, theirs Inheritable
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

// DeadlinesTravel says whether a child that gets the stream's duplicate will have deadlines, as they are had here.
func DeadlinesTravel(stream io.Closer) bool {
	f, ok := stream.(*Pipe)
	return ok && f.used.Load() == nil
}

// Claim keeps an inherited handle from the processes that this one starts.
func Claim(fd uintptr) error {
	return os.NewSyscallError("SetHandleInformation", windows.SetHandleInformation(windows.Handle(fd), windows.HANDLE_FLAG_INHERIT, 0))
}

// OpenFile makes a file of a handle, which knows itself whether it has deadlines.
func OpenFile(fd uintptr, _ bool) *os.File { return os.NewFile(fd, "inherited") }

// OpenEnd makes an end of a channel of a handle.
func OpenEnd(fd uintptr, deadlines bool) End {
	f := openHandle(windows.Handle(fd))
	f.tied = !deadlines
	return f
}
