//go:build unix && !linux

package fd

import "os"

// setPipeSize does nothing: only Linux lets a program choose a pipe's capacity, and it is a hint.
func setPipeSize(uintptr, int) {}

// newGivenPipe makes a pipe of which this process uses one end and a child gets the other.
func newGivenPipe(bool) (r, w *os.File, err error) { return os.Pipe() }
