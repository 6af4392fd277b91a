package fd

// GrowPipe does nothing: a pipe's capacity is chosen when it is made.
func GrowPipe(stream any, from, to int) (bytes int) { return 0 }

// ShrinkPipe does nothing.
func ShrinkPipe(stream any, to int) {}

// ReleaseGrowth does nothing.
func ReleaseGrowth(int) {}
