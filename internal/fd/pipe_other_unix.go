//go:build unix && !linux

package fd

// setPipeSize does nothing: only Linux lets a program choose a pipe's capacity, and it is a hint.
func setPipeSize(uintptr, int) {}
