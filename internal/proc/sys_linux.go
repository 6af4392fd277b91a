package proc

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/sys/unix"
)

// procSelfExe leads to the running program even when its file is replaced or deleted.
const procSelfExe = "/proc/self/exe"

// executable is what a child runs; running says that it certainly is the running program.
func executable() (path string, running bool, err error) {
	path, err = executablePath()
	return path, path == procSelfExe, err
}

// executablePath decides once, in Init: a program that changes its root directory later must not find another one there.
// Where /proc is missing from the beginning, it is the path that this program was executed by.
var executablePath = sync.OnceValues(func() (string, error) {
	if _, err := os.Lstat(procSelfExe); err == nil {
		return procSelfExe, nil
	}
	auxv, err := unix.Auxv()
	if err != nil {
		return "", err
	}
	const execFn = 31 // AT_EXECFN
	for _, entry := range auxv {
		if entry[0] == execFn {
			path := *(**byte)(unsafe.Pointer(&entry[1]))
			return filepath.Abs(unix.BytePtrToString(path))
		}
	}
	return "", errors.New("the program's path is unknown: mount /proc")
})

// awaitExit waits until a child has ended, and leaves it to be reaped: until then its pid is not used again. A thread waits.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err == nil
		}
	}
}

// adoptsOrphans says whether processes whose parents have ended may become this one's children.
func adoptsOrphans() bool {
	var subreaper int32
	err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&subreaper)), 0, 0, 0)
	return os.Getpid() == 1 || err == nil && subreaper != 0
}

// nameProcess makes this process show up under a name in top and ps, instead of as exe. The kernel keeps 15 bytes. It must be
// called on the process's first thread, whose name that is: while packages are initialised, Go runs nothing elsewhere.
func nameProcess(name string) {
	const room = 15
	if len(name) > room {
		n := room
		for n > 0 && !utf8.RuneStart(name[n]) {
			n--
		}
		name = name[:n]
	}
	cstring := append([]byte(name), 0)
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&cstring[0])), 0, 0, 0) // it fails only for a bad address
}

// leftAlone are the signals that stay ignored in a Go program whose parent ignored them: the runtime respects that of SIGHUP and
// SIGINT, and leaves those of job control and of C libraries alone. For all others it installs its handler.
var leftAlone = [...]uintptr{
	uintptr(syscall.SIGHUP), uintptr(syscall.SIGINT), uintptr(syscall.SIGCONT),
	uintptr(syscall.SIGTSTP), uintptr(syscall.SIGTTIN), uintptr(syscall.SIGTTOU), 32, 33, 34,
}

// resetSignals undoes what exec leaves of the parent's ignored signals.
func resetSignals() {
	const setSize = 8 // of the kernel's sigset_t
	type sigaction struct {
		handler uintptr // the kernel's first field, but on MIPS
		rest    [4]uintptr
	}
	for _, sig := range leftAlone {
		var old, dfl sigaction
		get := [...]uintptr{sig, 0, uintptr(unsafe.Pointer(&old)), setSize}
		if _, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, get[0], get[1], get[2], get[3], 0, 0); e != 0 {
			continue
		}
		const ignore = 1 // SIG_IGN
		if old.handler == ignore {
			_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&dfl)), 0, setSize, 0, 0)
			forgetIgnored(syscall.Signal(sig))
		}
	}
}

// forgetIgnored makes Go's runtime, too, treat a signal as any other that it would have found ignored.
func forgetIgnored(sig os.Signal) {
	if sig == syscall.SIGHUP || sig == syscall.SIGINT {
		c := make(chan os.Signal, 1)
		signal.Notify(c, sig)
		signal.Stop(c)
	}
}
