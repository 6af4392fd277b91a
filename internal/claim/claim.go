// Package claim takes what a process has inherited from its parent before any other package can start a process, which would inherit it
// too.
//
// Go initialises packages whose imports are initialised in the order of their paths. This one imports syscall alone, and its path
// comes before os, which whoever starts a process needs, other than by syscall itself.
package claim

import "syscall"

// Mark is the environment variable by which a parent tells its child what it has inherited. It is not in the child's environment any
// more.
const Mark = "GIPC_INHERITED"

// Found says whether the variable was there.
var Found bool

// Value is what it was.
var Value string

func init() {
	Value, Found = syscall.Getenv(Mark)
	if Found {
		_ = syscall.Unsetenv(Mark) // fails for no such name
		keep(Value)
	}
}
