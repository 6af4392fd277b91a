//go:build unix && !linux

package gipc

// maxRead is the most bytes that one read asks for: macOS answers EINVAL to some reads of a pipe above its capacity.
const maxRead = 64 << 10

// setPipeSize does nothing: only Linux lets a program choose a pipe's capacity, and PipeSize is a hint.
func setPipeSize(uintptr, int) {}
