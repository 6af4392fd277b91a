package gipc

import (
	"time"

	"github.com/go-gipc/gipc/internal/limits"
)

// Limits bound what a child may use of the machine. Zero fields bound nothing. All of them are in force before the entrypoint
// runs, and for all that the child starts: where it isn't said otherwise, each process has each limit for itself. A limit that is
// already in force and lower, such as one that the parent runs under, stays as it is. What the system can't hold makes Spawn fail
// with an error that matches errors.ErrUnsupported. Linux holds all of them, Windows holds Memory and Processes, and other systems
// hold none.
//
// A child that may change its own limits, because it runs as root, is bounded by those of its cgroup alone.
type Limits struct {
	// Memory is in bytes. Go's runtime in the child collects garbage harder from nine tenths of it on
	// (debug.SetMemoryLimit).
	//
	// With Cgroup it bounds the memory of the child and all that it starts together, page cache included, without swap. When
	// that isn't enough, the kernel kills the largest of these processes by SIGKILL.
	//
	// Without Cgroup it bounds, on Linux, the private memory of each process (RLIMIT_DATA), not what processes share or map from
	// files. The system then refuses more, and a Go program ends with the fatal error "out of memory". What the child has mapped
	// and not used before its entrypoint runs isn't counted. What it maps later is counted whether it uses it or not: with cgo,
	// 8 MiB for each thread.
	//
	// On Windows it bounds the memory that the child and all that it starts have committed together, and the system refuses
	// more.
	Memory int64

	// CPU is the processor time of all threads together, rounded up to seconds. SIGXCPU ends a process that has used it up. One
	// that catches this signal is killed by SIGKILL a second later, which isn't told from another kill.
	CPU time.Duration

	// Files is how many descriptors a process may have open, those that it inherits and some ten of its runtime included.
	// Whatever needs one more gets the error EMFILE.
	Files int

	// Processes is how many processes there may be in all, the child included. On Linux it needs Cgroup, and counts the threads
	// of all of them. A Go program has some ten, and one more for each call that blocks in the system or in C. Starting one more
	// is an error for os/exec, and the end of a Go program that needs a thread.
	Processes int

	// FileSize is how long a file may become by writing, in bytes. A Go program gets the error EFBIG for what goes beyond, other
	// programs are ended by SIGXFSZ. It also holds for a standard output or error that is a file, and counts what was in the
	// file before.
	FileSize int64

	// NoCore says that a crash writes no core dump, neither to a file nor to a program that collects them.
	NoCore bool

	// Cgroup is a directory of a cgroup file system of version 2, on Linux since 5.14. It must be delegated to this program and
	// have no processes itself. The child starts in a new cgroup below it, named gipc- and a number. When the child has ended,
	// what it has started and left behind is killed, and the cgroup is removed before Wait returns. This process stays in its
	// own cgroup. If it is killed itself, an empty directory stays, which rmdir removes.
	Cgroup string
}

// internal returns a copy for the machinery; nil if there are none.
func (l *Limits) internal() *limits.Limits {
	if l == nil {
		return nil
	}
	held := limits.Limits(*l)
	return &held
}

// limitFields has the fields of Limits by the names that ExitError.Limit gives them.
var limitFields = map[string]string{
	limits.Memory: "Memory", limits.CPU: "CPU", limits.Processes: "Processes", limits.FileSize: "FileSize",
}
