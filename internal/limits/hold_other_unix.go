//go:build unix && !linux

package limits

// unsupported names any limit: without libc these systems don't let a program restore a signal's default action, and what
// their other limits count differs from one to the next.
func (l *Limits) unsupported() string { return l.first() }
