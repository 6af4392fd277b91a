//go:build unix

package proc

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"

	"github.com/go-gipc/gipc/internal/claim"
	"github.com/go-gipc/gipc/internal/fd"
)

// attach makes a command's child inherit fds. It returns their numbers in the child, and a function that says whether the
// command still passes them on.
func (job) attach(cmd *exec.Cmd, fds []fd.Inheritable) (numbers []uint64, intact func() bool) {
	cmd.ExtraFiles = slices.Clone(fds)
	mark := claim.Mark + "=" + strconv.Itoa(len(fds))
	cmd.Env = append(cmd.Env, mark)
	attr := cmd.SysProcAttr // says that the child leads a group
	for i := range fds {
		numbers = append(numbers, uint64(claim.First+i))
	}
	return numbers, func() bool { // without the mark the child would run main
		return slices.Contains(cmd.Env, mark) && cmd.SysProcAttr == attr && len(cmd.ExtraFiles) >= len(fds) && slices.Equal(cmd.ExtraFiles[:len(fds)], fds)
	}
}

// inherit finds what attach passed on, if this process was started so. It also gives every signal its default disposition, whatever
// the parent ignored.
func inherit() (fds []uintptr, ok bool, err error) {
	if !claim.Found {
		return nil, false, nil
	}
	n, err := strconv.Atoi(claim.Value)
	if err != nil {
		return nil, false, err
	}
	for i := range n {
		n := uintptr(claim.First + i)
		if err := fd.Claim(n); err != nil {
			return nil, false, err
		}
		fds = append(fds, n)
	}
	if n < firstPassed {
		return nil, false, errors.New("too few descriptors")
	}
	resetSignals()
	nameProcess(os.Args[0])
	return fds, true, nil
}
