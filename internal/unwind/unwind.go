// Package unwind tells why the deferred functions of a goroutine run.
package unwind

import "runtime"

// Reason says whether the calling goroutine is in runtime.Goexit, and whether it panics: during a Goexit it may do both. It
// looks for them on the stack, because recover would end a panic.
func Reason() (goexits, panics bool) {
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			goexits = goexits || frame.Function == "runtime.Goexit"
			panics = panics || frame.Function == "runtime.gopanic"
		}
		if n < len(pcs) {
			return goexits, panics
		}
	}
}
