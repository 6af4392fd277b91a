//go:build unix && !linux

package fd

// GrowPipe does nothing: only Linux lets a program choose a pipe's capacity.
func GrowPipe(stream any, from, to int) (bytes int) { return 0 }

// ShrinkPipe does nothing.
func ShrinkPipe(stream any, to int) {}

// ReleaseGrowth does nothing.
func ReleaseGrowth(int) {}
