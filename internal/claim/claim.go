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

// Value is what the variable was, and Found whether there was one.
var Value, Found = take()

func take() (value string, found bool) {
	value, found = syscall.Getenv(Mark)
	if found {
		_ = syscall.Unsetenv(Mark) // fails for no such name
		keep(value)
	}
	return value, found
}
