package gipc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// inheritable is a handle for a child.
type inheritable windows.Handle

func (h inheritable) Close() error {
	return os.NewSyscallError("CloseHandle", windows.CloseHandle(windows.Handle(h)))
}

// give makes an end of a new pipe, which is not used here, inheritable.
func give(end pipeEnd) (inheritable, error) {
	end.mu.Lock()
	defer end.mu.Unlock()
	h, err := end.take()
	return inheritable(h), err
}

// giveFile does so with a file.
func giveFile(f *os.File) (inheritable, error) {
	h, err := duplicate(f)
	if err != nil {
		return 0, err
	}
	return h, f.Close()
}

// duplicate returns a second handle of a stream's file, for a child to inherit.
func duplicate(stream io.Closer) (inheritable, error) {
	switch f := stream.(type) {
	case *pipeFile:
		return f.duplicate()
	case *os.File:
		rc, err := f.SyscallConn()
		if err != nil {
			return 0, err
		}
		var h inheritable
		var errDup error
		err = rc.Control(func(fd uintptr) { h, errDup = duplicateHandle(windows.Handle(fd)) })
		return h, errors.Join(err, errDup)
	}
	if _, ok := stream.(syscall.Conn); ok {
		return 0, fmt.Errorf("a socket can't be handed to a child process on Windows: %w", errors.ErrUnsupported)
	}
	return 0, errNoFile
}

// duplicateFile does so with a file that moves as a file. Fd unties it from this process's completion port, if it was tied:
// else the child could not tie it to its own, as package net must with a socket.
func duplicateFile(f *os.File) (inheritable, error) {
	f.Fd()
	return duplicate(f)
}

func duplicateHandle(h windows.Handle) (inheritable, error) {
	var dup windows.Handle
	self := windows.CurrentProcess()
	err := windows.DuplicateHandle(self, h, self, &dup, 0, false, windows.DUPLICATE_SAME_ACCESS)
	return inheritable(dup), os.NewSyscallError("DuplicateHandle", err)
}

// untie takes a file off its completion port (MSDN, FILE_COMPLETION_INFORMATION), so that another process can tie it to
// its own. No operation may be under way. A variable because Wine 8 can't do it.
var untie = func(h windows.Handle) error {
	var none struct{ port, key uintptr }
	var status windows.IO_STATUS_BLOCK
	return windows.NtSetInformationFile(h, &status, (*byte)(unsafe.Pointer(&none)), uint32(unsafe.Sizeof(none)),
		windows.FileReplaceCompletionInformation)
}

// inheritedEnv tells a child the handles that it needs to be told of the others: of its job and the control channel.
const inheritedEnv = "GIPC_INHERITED"

// attach makes a command's child inherit fds. It returns their numbers in the child, and a function that says whether the
// command still passes them on.
func (j *job) attach(cmd *exec.Cmd, fds []inheritable) (numbers []uint64, intact func() bool) {
	for _, fd := range fds {
		cmd.SysProcAttr.AdditionalInheritedHandles = append(cmd.SysProcAttr.AdditionalInheritedHandles, syscall.Handle(fd))
		numbers = append(numbers, uint64(fd))
	}
	var list []string
	handles := slices.Clone(cmd.SysProcAttr.AdditionalInheritedHandles)
	j.inherited = handles
	for _, h := range handles[:1+firstPassed] {
		list = append(list, strconv.FormatUint(uint64(h), 16))
	}
	mark := inheritedEnv + "=" + strings.Join(list, ",")
	cmd.Env = append(cmd.Env, mark)
	attr := cmd.SysProcAttr
	return numbers, func() bool { // without the mark the child would run main
		return slices.Contains(cmd.Env, mark) && cmd.SysProcAttr == attr && !attr.NoInheritHandles &&
			len(attr.AdditionalInheritedHandles) >= len(handles) &&
			slices.Equal(attr.AdditionalInheritedHandles[:len(handles)], handles)
	}
}

// inherit finds what attach passed on, if this process was started so, and keeps it and the fact from any process that
// this one starts.
func inherit() (fds []uintptr, ok bool, err error) {
	value, ok := os.LookupEnv(inheritedEnv)
	if !ok {
		return nil, false, nil
	}
	if err := os.Unsetenv(inheritedEnv); err != nil {
		return nil, false, err
	}
	for _, number := range strings.Split(value, ",") {
		fd, err := strconv.ParseUint(number, 16, 64)
		if err != nil {
			return nil, false, err
		}
		if err := claim(uintptr(fd)); err != nil {
			return nil, false, err
		}
		fds = append(fds, uintptr(fd))
	}
	if len(fds) < 1+firstPassed {
		return nil, false, errors.New("too few handles")
	}
	ownJob = windows.Handle(fds[0])
	return fds[1:], true, nil
}

// claim keeps an inherited handle from the processes that this one starts.
func claim(fd uintptr) error {
	return os.NewSyscallError("SetHandleInformation", windows.SetHandleInformation(windows.Handle(fd), windows.HANDLE_FLAG_INHERIT, 0))
}

// openInherited makes a file of a handle, which knows itself whether it has deadlines.
func openInherited(fd uintptr, _ bool) *os.File { return os.NewFile(fd, "inherited") }

// openEnd makes an end of a channel of a handle.
func openEnd(fd uintptr, deadlines bool) pipeEnd {
	f := newPipeFile(windows.Handle(fd))
	f.tied = !deadlines
	return f
}

// job is a child's job object. Parent and child hold it: when the last of them is gone, it ends what is in it, which is
// the child and whatever that started.
type job struct {
	handle    windows.Handle
	inherited []syscall.Handle // what a child that is to be started gets from here
	process   windows.Handle   // of the started child
}

// ownJob is the job object that this process was started in by Spawn.
var ownJob windows.Handle

// Exit codes of a child that was ended from here: what a Unix shell shows for SIGTERM and SIGKILL.
const (
	exitTerminated = 128 + 15
	exitKilled     = 128 + 9
)

// newJob makes a job for a command's child, and a process group, so that Ctrl-C reaches the parent alone.
func newJob(cmd *exec.Cmd) (job, error) {
	h, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return job{}, os.NewSyscallError("CreateJobObject", err)
	}
	j := job{handle: h}
	if err := j.endsWhenReleased(true); err != nil {
		_ = windows.CloseHandle(h)
		return job{}, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		CreationFlags:              windows.CREATE_NEW_PROCESS_GROUP,
		AdditionalInheritedHandles: []syscall.Handle{syscall.Handle(h)},
	}
	return j, nil
}

func (j *job) endsWhenReleased(yes bool) error {
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	if yes {
		limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	}
	_, err := windows.SetInformationJobObject(j.handle, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	return os.NewSyscallError("SetInformationJobObject", err)
}

// start starts a command inside the job. It is not suspended until it is in, because the death of this process would then
// leave it suspended for ever; it runs nothing of its program but the initialization of packages before it is told to.
func (j *job) start(cmd *exec.Cmd) error {
	if len(cmd.ExtraFiles) > 0 {
		return fmt.Errorf("SpawnOptions.Command set ExtraFiles, use SysProcAttr.AdditionalInheritedHandles on Windows: %w",
			errors.ErrUnsupported)
	}
	if err := startInheriting(cmd, j.inherited); err != nil {
		return err
	}
	j.inherited = nil
	const access = windows.PROCESS_SET_QUOTA | windows.PROCESS_TERMINATE | windows.SYNCHRONIZE
	h, err := windows.OpenProcess(access, false, uint32(cmd.Process.Pid))
	if err == nil {
		j.process = h
		err = windows.AssignProcessToJobObject(j.handle, h)
	}
	if err != nil && !j.endsWithin(endingDelay) {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
		return os.NewSyscallError("AssignProcessToJobObject", err)
	}
	return nil
}

// startInheriting starts a command. The handles are inheritable only meanwhile, in case that another part of the program
// starts a process that inherits everything: os/exec never does. Those of the user's are inheritable already.
func startInheriting(cmd *exec.Cmd, handles []syscall.Handle) error {
	defer func() {
		for _, h := range handles {
			_ = windows.SetHandleInformation(windows.Handle(h), windows.HANDLE_FLAG_INHERIT, 0)
		}
	}()
	for _, h := range handles {
		err := windows.SetHandleInformation(windows.Handle(h), windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT)
		if err != nil {
			return os.NewSyscallError("SetHandleInformation", err)
		}
	}
	return cmd.Start()
}

// endingDelay is how long a process may take from where the system refuses to act on it, because it is ending, to its end.
const endingDelay = time.Second

func (j *job) endsWithin(d time.Duration) bool {
	event, err := windows.WaitForSingleObject(j.process, uint32(d.Milliseconds()))
	return err == nil && event == windows.WAIT_OBJECT_0
}

// kill ends a child that is not reaped yet, and its descendants.
func (j *job) kill(*exec.Cmd) error {
	return os.NewSyscallError("TerminateJobObject", windows.TerminateJobObject(j.handle, exitKilled))
}

// release is called when the child has ended. What it has started and left behind lives on, as on other systems.
func (j *job) release() {
	if j.handle == 0 {
		return
	}
	_ = j.endsWhenReleased(false) // fails only without the right to, which its maker has
	_ = windows.CloseHandle(j.handle)
	if j.process != 0 {
		_ = windows.CloseHandle(j.process)
	}
	*j = job{}
}

func (j *job) terminate(*exec.Cmd) error { return j.endChild(exitTerminated) }

func (j *job) signal(_ *exec.Cmd, sig os.Signal) error {
	if sig != os.Kill {
		return fmt.Errorf("signal %v: Windows has only os.Kill: %w", sig, errors.ErrUnsupported)
	}
	return j.endChild(exitKilled)
}

// endChild ends the child alone.
func (j *job) endChild(code uint32) error {
	if j.endsWithin(0) {
		return os.ErrProcessDone
	}
	err := windows.TerminateProcess(j.process, code)
	if err == windows.ERROR_ACCESS_DENIED && j.endsWithin(endingDelay) {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("TerminateProcess", err)
}

// exitWithGroup ends this process and its descendants.
func exitWithGroup(code int) {
	_ = windows.TerminateJobObject(ownJob, uint32(code))
	os.Exit(code)
}

// exitStatus returns the exit code; there are no signals.
func exitStatus(state *os.ProcessState) (code int, sig os.Signal) { return state.ExitCode(), nil }

// executable is what a child runs. The file of a running program can't be replaced, but moved away.
func executable() (path string, running bool, err error) {
	path, err = os.Executable()
	return path, false, err
}

// awaitExit waits until a child has ended, and leaves it to be reaped: until then its pid is not used again.
func awaitExit(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	event, err := windows.WaitForSingleObject(h, windows.INFINITE)
	return err == nil && event == windows.WAIT_OBJECT_0
}
