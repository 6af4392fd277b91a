//go:build unix && !linux

package stream

// MaxRead is the most bytes that one read asks for: macOS answers EINVAL to some reads of a pipe above its capacity.
const MaxRead = 64 << 10
