//go:build unix && !linux

package fd

// GrowPipe does nothing: only Linux lets a program choose a pipe's capacity.
func GrowPipe(stream any, from, to int) (bytes int) { return 0 }

// ReleaseGrowth does nothing.
func ReleaseGrowth(int) {}
