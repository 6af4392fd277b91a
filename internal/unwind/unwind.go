// Package unwind tells why the deferred functions of a goroutine run.
package unwind

import "runtime"

// Reason says whether the calling goroutine is in runtime.Goexit, or panics. Of a panic in a Goexit, and of a Goexit in a panic, which
// aborts it, the later one counts. It looks for them on the stack, because recover would end a panic.
func Reason() (goexits, panics bool) {
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			switch frame.Function {
			case "runtime.Goexit":
				return true, false
			case "runtime.gopanic":
				return false, true
			}
		}
		if n < len(pcs) {
			return false, false
		}
	}
}
