//go:build unix

package gipc

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

type (
	pipeEnd     = *os.File
	inheritable = *os.File // what a child can be given
)

// give makes an end of a new pipe, which is not used here, inheritable.
func give(end pipeEnd) (inheritable, error) { return end, nil }

// giveFile does so with a file.
func giveFile(f *os.File) (inheritable, error) { return f, nil }

// duplicate returns a second descriptor of a stream's file, for a child to inherit.
func duplicate(stream io.Closer) (inheritable, error) {
	file, ok := stream.(*os.File)
	if !ok {
		return duplicateOther(stream)
	}
	var dup int
	var errDup error
	err := withFD(file, func(fd uintptr) {
		dup, errDup = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, errDup); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(dup), file.Name()), nil
}

// duplicateFile does so with a file that moves as a file.
func duplicateFile(f *os.File) (inheritable, error) { return duplicate(f) }

// duplicateOther duplicates the file of a net.Conn or net.Listener. That file's own Fd, which os/exec calls, would make
// the socket blocking, here too.
func duplicateOther(stream io.Closer) (inheritable, error) {
	c, ok := stream.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errNoFile
	}
	f, err := c.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return duplicate(f)
}

// inheritedEnv tells a child how many descriptors it got, from 3 on.
const inheritedEnv = "GIPC_INHERITED"

const firstInherited = 3

// attach makes a command's child inherit fds. It returns their numbers in the child, and a function that says whether the
// command still passes them on.
func (job) attach(cmd *exec.Cmd, fds []inheritable) (numbers []uint64, intact func() bool) {
	cmd.ExtraFiles = slices.Clone(fds)
	mark := inheritedEnv + "=" + strconv.Itoa(len(fds))
	cmd.Env = append(cmd.Env, mark)
	attr := cmd.SysProcAttr // says that the child leads a group
	for i := range fds {
		numbers = append(numbers, uint64(firstInherited+i))
	}
	return numbers, func() bool { // without the mark the child would run main
		return slices.Contains(cmd.Env, mark) && cmd.SysProcAttr == attr && len(cmd.ExtraFiles) >= len(fds) && slices.Equal(cmd.ExtraFiles[:len(fds)], fds)
	}
}

// inherit finds what attach passed on, if this process was started so, and keeps it and the fact from any process that
// this one starts. It also gives every signal its default disposition, whatever the parent ignored.
func inherit() (fds []uintptr, ok bool, err error) {
	value, ok := os.LookupEnv(inheritedEnv)
	if !ok {
		return nil, false, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return nil, false, err
	}
	if err := os.Unsetenv(inheritedEnv); err != nil {
		return nil, false, err
	}
	for i := range n {
		fd := uintptr(firstInherited + i)
		if err := claim(fd); err != nil {
			return nil, false, err
		}
		fds = append(fds, fd)
	}
	if n < firstPassed {
		return nil, false, errors.New("too few descriptors")
	}
	resetSignals()
	return fds, true, nil
}

// claim keeps an inherited descriptor from the processes that this one starts.
func claim(fd uintptr) error {
	_, err := unix.FcntlInt(fd, unix.F_SETFD, unix.FD_CLOEXEC)
	return os.NewSyscallError("fcntl", err)
}

// openInherited makes a file of a descriptor. Without setting the mode here a file would have no deadlines, and Close
// would wake nobody: os/exec may hand it over blocking.
func openInherited(fd uintptr, nonBlocking bool) *os.File {
	_ = syscall.SetNonblock(int(fd), nonBlocking) // fails only on what inherit has found not to be open
	return os.NewFile(fd, "inherited")
}

// openEnd makes an end of a channel of a descriptor.
func openEnd(fd uintptr, nonBlocking bool) pipeEnd { return openInherited(fd, nonBlocking) }

// job holds a child and its descendants together; here the kernel's process group does that.
type job struct{}

// newJob makes a command's child lead a process group of its own.
func newJob(cmd *exec.Cmd) (job, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return job{}, nil
}

func (job) start(cmd *exec.Cmd) error { return cmd.Start() }

// release is called when the child has ended.
func (job) release() {}

// kill kills the group that was made for a child that is not reaped yet, and the child, which may have left the group.
func (job) kill(cmd *exec.Cmd) error {
	if a := cmd.SysProcAttr; a != nil && (a.Setpgid && a.Pgid == 0 || a.Setsid) {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // nobody may be left in it
	}
	return cmd.Process.Kill()
}

func (job) terminate(cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) }

func (job) signal(cmd *exec.Cmd, sig os.Signal) error { return cmd.Process.Signal(sig) }

// exitWithGroup ends this process and the group that it leads.
func exitWithGroup(code int) {
	if pid := syscall.Getpid(); leadsGroup(pid) {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	os.Exit(code)
}

func leadsGroup(pid int) bool {
	group, err := unix.Getpgid(pid)
	return err == nil && group == pid
}

// exitStatus returns a code of -N for death by signal N.
func exitStatus(state *os.ProcessState) (code int, sig os.Signal) {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -int(status.Signal()), status.Signal()
	}
	return state.ExitCode(), nil
}
