//go:build unix && !linux

package gipc

import "os"

// maxRead is the most bytes that one read asks for: macOS answers EINVAL to some reads of a pipe above its capacity.
const maxRead = 64 << 10

// setPipeSize does nothing: only Linux lets a program choose a pipe's capacity, and PipeSize is a hint.
func setPipeSize(uintptr, int) {}

// executable is what a child runs. If the file was replaced, the child's build differs, and Spawn says so.
func executable() (string, error) { return os.Executable() }

// awaitExit returns at once: these systems have no portable way to wait for a child without reaping it.
func awaitExit(int) {}

// resetSignals does nothing: a program can't change an ignored signal's disposition here without libc. Go's runtime
// installs its handlers for all signals but an ignored SIGHUP or SIGINT, which stay ignored.
func resetSignals() {}
