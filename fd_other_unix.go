//go:build unix && !linux

package gipc

import "os"

// maxRead is the most bytes that one read asks for: macOS answers EINVAL to some reads of a pipe above its capacity.
const maxRead = 64 << 10

// setPipeSize does nothing: only Linux lets a program choose a pipe's capacity, and PipeSize is a hint.
func setPipeSize(uintptr, int) {}

// executable is what a child runs; it may not be the running program any more. If the file was replaced, the child's build
// differs, and Spawn says so.
func executable() (path string, running bool, err error) {
	path, err = os.Executable()
	return path, false, err
}

// awaitExit can't wait: these systems have no portable way to do so without reaping the child.
func awaitExit(int) bool { return false }

// resetSignals does nothing: a program can't change an ignored signal's disposition here without libc. Go's runtime
// installs its handlers for all signals but an ignored SIGHUP or SIGINT, which stay ignored.
func resetSignals() {}
