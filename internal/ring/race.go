//go:build race

package ring

import (
	"runtime"
	"unsafe"
)

// ordered stands for all rings: the race detector doesn't see atomics in memory that isn't Go's, and would miss that a message
// comes behind what its sender did before.
var ordered byte

func releaseMemory() { runtime.RaceReleaseMerge(unsafe.Pointer(&ordered)) }

func acquireMemory() { runtime.RaceAcquire(unsafe.Pointer(&ordered)) }
