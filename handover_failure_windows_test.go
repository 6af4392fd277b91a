package gipc

import (
	"os/exec"
	"slices"
	"syscall"
)

// systemFailures are those that depend on the system.
var systemFailures = map[string]commandFailure{
	"handles dropped":  {func(c *exec.Cmd) { c.SysProcAttr.AdditionalInheritedHandles = nil }, nil, "other than by appending"},
	"handles reversed": {func(c *exec.Cmd) { slices.Reverse(c.SysProcAttr.AdditionalInheritedHandles) }, nil, "other than by appending"},
	"nothing inherited": {func(c *exec.Cmd) {
		c.SysProcAttr.NoInheritHandles = true
	}, nil, "other than by appending"},
	"SysProcAttr replaced": {func(c *exec.Cmd) {
		replaced := *c.SysProcAttr
		c.SysProcAttr = &replaced
	}, nil, "replaced SysProcAttr"},
	"SysProcAttr dropped": {func(c *exec.Cmd) { c.SysProcAttr = nil }, nil, "other than by appending"},
	"no program":          {func(c *exec.Cmd) { c.Path = `C:\nowhere\at all` }, exec.ErrNotFound, ""},
	"no such user":        {func(c *exec.Cmd) { c.SysProcAttr.Token = syscall.Token(1) }, nil, ""},
}
