package limits

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func (l *Limits) unsupported() string {
	if l.Processes > 0 && l.Cgroup == "" { // RLIMIT_NPROC counts all threads of the user
		return "Processes without Limits.Cgroup"
	}
	return ""
}

// rlimit is a limit that the kernel holds for each process.
type rlimit struct {
	name       string
	resource   int
	soft, hard uint64
}

func (l *Limits) rlimits() (all []rlimit) {
	add := func(name string, resource int, limit, beyond uint64) {
		if limit > 0 {
			all = append(all, rlimit{name, resource, limit, limit + beyond})
		}
	}
	if l.Memory > 0 && l.Cgroup == "" {
		add("RLIMIT_DATA", unix.RLIMIT_DATA, uint64(l.Memory)+mappedUnused(), 0)
	}
	add("RLIMIT_CPU", unix.RLIMIT_CPU, uint64((l.CPU+time.Second-1)/time.Second), 1)
	add("RLIMIT_FSIZE", unix.RLIMIT_FSIZE, uint64(l.FileSize), 0)
	add("RLIMIT_NOFILE", unix.RLIMIT_NOFILE, uint64(l.Files), 0)
	return all
}

// mappedUnused returns how many bytes of data this process has mapped and not touched: tables of Go's runtime that stay nearly
// empty, some 40 MiB. RLIMIT_DATA counts them, though they take no memory.
func mappedUnused() uint64 {
	var size, resident, shared, text, lib, data uint64 // in pages
	statm, err := os.ReadFile("/proc/self/statm")      // /proc may be missing
	if err != nil {
		return 0
	}
	_, err = fmt.Sscan(string(statm), &size, &resident, &shared, &text, &lib, &data)
	if used := resident - shared; err == nil && data > used {
		return (data - used) * uint64(os.Getpagesize())
	}
	return 0
}

func (l *Limits) hold() error {
	for _, r := range l.rlimits() {
		if err := r.lower(); err != nil {
			return os.NewSyscallError("setrlimit "+r.name, err)
		}
	}
	if l.NoCore {
		if err := noCore(); err != nil {
			return os.NewSyscallError("setrlimit RLIMIT_CORE", err)
		}
	}
	if l.CPU > 0 {
		return os.NewSyscallError("rt_sigaction SIGXCPU", defaultAction(syscall.SIGXCPU))
	}
	return nil
}

// lower sets the limit, unless a lower one is in force. It goes through package syscall, which has raised the soft limit of
// descriptors in this process, and takes that back for those that it starts until it sees somebody set one.
func (r *rlimit) lower() error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(r.resource, &now); err != nil {
		return err
	}
	return syscall.Setrlimit(r.resource, &syscall.Rlimit{Cur: min(r.soft, now.Cur), Max: min(r.hard, now.Max)})
}

// noCore sets a limit of one byte: at zero the kernel would still hand a dump to a program that core_pattern names.
func noCore() error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_CORE, &now); err != nil {
		return err
	}
	limit := min(1, now.Max)
	return syscall.Setrlimit(unix.RLIMIT_CORE, &syscall.Rlimit{Cur: limit, Max: limit})
}

// defaultAction makes a signal do what it does to other programs: Go's runtime would swallow it. What this process starts has
// the default action anyway.
func defaultAction(sig syscall.Signal) (err error) {
	var action [8]uintptr                      // a kernel's sigaction, of any architecture: zero is SIG_DFL, without flags
	for _, size := range [...]uintptr{8, 16} { // of the kernel's sigset_t, 16 on MIPS
		_, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, size, 0, 0)
		if e == 0 {
			return nil
		}
		err = e
	}
	return err
}

func (l *Limits) bySignal(sig os.Signal) string {
	switch {
	case l.CPU > 0 && sig == syscall.SIGXCPU:
		return CPU
	case l.FileSize > 0 && sig == syscall.SIGXFSZ:
		return FileSize
	}
	return ""
}
