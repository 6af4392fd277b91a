//go:build unix && !linux

package proc

import "os"

// executable is what a child runs; it may not be the running program any more. If the file was replaced, the child's build
// differs, and Spawn says so.
func executable() (path string, running bool, err error) {
	path, err = os.Executable()
	return path, false, err
}

// awaitExit can't wait: these systems have no portable way to do so without reaping the child.
func awaitExit(int) bool { return false }

// adoptsOrphans says whether processes whose parents have ended become this one's children.
func adoptsOrphans() bool { return os.Getpid() == 1 }

// nameProcess does nothing: the name is that of the program's file.
func nameProcess(string) {}

// resetSignals does nothing: a program can't change an ignored signal's disposition here without libc. Go's runtime
// installs its handlers for all signals but an ignored SIGHUP or SIGINT, which stay ignored.
func resetSignals() {}
