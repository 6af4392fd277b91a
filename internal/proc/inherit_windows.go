package proc

import (
	"errors"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/claim"
	"github.com/go-gipc/gipc/internal/fd"
)

// attach makes a command's child inherit fds. It returns their numbers in the child, and a function that says whether the
// command still passes them on.
func (j *job) attach(cmd *exec.Cmd, fds []fd.Inheritable) (numbers []uint64, intact func() bool) {
	for _, h := range fds {
		cmd.SysProcAttr.AdditionalInheritedHandles = append(cmd.SysProcAttr.AdditionalInheritedHandles, syscall.Handle(h))
		numbers = append(numbers, uint64(h))
	}
	var list []string // the handles that the child needs to be told of the others: of its job and the control channel
	handles := slices.Clone(cmd.SysProcAttr.AdditionalInheritedHandles)
	j.inherited = handles
	for _, h := range handles[:1+firstPassed] {
		list = append(list, strconv.FormatUint(uint64(h), 16))
	}
	mark := claim.Mark + "=" + strings.Join(list, ",")
	cmd.Env = append(cmd.Env, mark)
	attr := cmd.SysProcAttr
	return numbers, func() bool { // without the mark the child would run main
		return slices.Contains(cmd.Env, mark) && cmd.SysProcAttr == attr && !attr.NoInheritHandles &&
			len(attr.AdditionalInheritedHandles) >= len(handles) &&
			slices.Equal(attr.AdditionalInheritedHandles[:len(handles)], handles)
	}
}

// inherit finds what attach passed on, if this process was started so, and keeps it from any process that this one starts.
func inherit() (fds []uintptr, ok bool, err error) {
	if !claim.Found {
		return nil, false, nil
	}
	for _, number := range strings.Split(claim.Value, ",") {
		n, err := strconv.ParseUint(number, 16, 64)
		if err != nil {
			return nil, false, err
		}
		if err := fd.Claim(uintptr(n)); err != nil {
			return nil, false, err
		}
		fds = append(fds, uintptr(n))
	}
	if len(fds) < 1+firstPassed {
		return nil, false, errors.New("too few handles")
	}
	ownJob = windows.Handle(fds[0])
	return fds[1:], true, nil
}
