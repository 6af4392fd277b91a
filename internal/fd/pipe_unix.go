//go:build unix

package fd

import "os"

// End is an end of a pipe.
type End = *os.File

// NewPipe returns the two ends of a pipe, non-blocking and close-on-exec. Size is the capacity to ask for, in bytes: a
// hint; 0 asks for none.
func NewPipe(size int) (r, w End, err error) {
	r, w, err = os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if size > 0 {
		_ = withFD(w, func(fd uintptr) { setPipeSize(fd, size) })
	}
	return r, w, nil
}

// NewOutputPipe returns a pipe for a child's output.
func NewOutputPipe() (r End, w *os.File, err error) { return newGivenPipe(false) }

// NewChildPipe returns an end of a pipe for this process, and the other for a child, which reads from it if childReads. Size is as
// in NewPipe.
func NewChildPipe(childReads bool, size int) (mine End, theirs Inheritable, err error) {
	r, w, err := newGivenPipe(childReads)
	if err != nil {
		return nil, nil, err
	}
	if size > 0 {
		_ = withFD(w, func(fd uintptr) { setPipeSize(fd, size) })
	}
	if childReads {
		return w, r, nil
	}
	return r, w, nil
}

// withFD runs f with f's descriptor. Unlike Fd, it leaves the descriptor's mode alone.
func withFD(file *os.File, f func(fd uintptr)) error {
	rc, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Control(f)
}

// Number returns the number of a stream's descriptor, or -1 where there is none.
func Number(stream any) (n int) {
	n = -1
	if file, ok := stream.(*os.File); ok {
		_ = withFD(file, func(fd uintptr) { n = int(fd) })
	}
	return n
}
