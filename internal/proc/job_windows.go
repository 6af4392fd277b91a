package proc

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/limits"
)

// job is a child's job object. Parent and child hold it: when the last of them is gone, it ends what is in it, which is
// the child and whatever that started.
type job struct {
	handle    windows.Handle
	limits    *limits.Limits
	inherited []syscall.Handle // what a child that is to be started gets from here
	process   windows.Handle   // of the started child
}

// ownJob is the job object that this process was started in by Spawn.
var ownJob windows.Handle

// Exit codes of a child that was ended from here: what a Unix shell shows for SIGTERM and SIGKILL.
const (
	codeTerminated = 128 + 15
	codeKilled     = 128 + 9
)

// newJob makes a job for a command's child, which holds its limits, and a process group, so that Ctrl-C reaches the parent alone.
func newJob(cmd *exec.Cmd, l *limits.Limits) (job, error) {
	h, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return job{}, os.NewSyscallError("CreateJobObject", err)
	}
	j := job{handle: h, limits: l}
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

// endsWhenReleased says what happens to the processes in the job when nobody holds it any more. Their limits stay.
func (j *job) endsWhenReleased(yes bool) error {
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	basic := &info.BasicLimitInformation
	if yes {
		basic.LimitFlags |= windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	}
	if l := j.limits; l != nil && l.Memory > 0 {
		basic.LimitFlags |= windows.JOB_OBJECT_LIMIT_JOB_MEMORY
		info.JobMemoryLimit = uintptr(min(uint64(l.Memory), math.MaxUint))
	}
	if l := j.limits; l != nil && l.Processes > 0 {
		basic.LimitFlags |= windows.JOB_OBJECT_LIMIT_ACTIVE_PROCESS
		basic.ActiveProcessLimit = uint32(min(uint64(l.Processes), math.MaxUint32))
	}
	_, err := windows.SetInformationJobObject(j.handle, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
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
