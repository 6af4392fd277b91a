//go:build unix

package claim

import "syscall"

// First is the number of the first descriptor that a child inherits, behind its standard streams.
const First = 3

// keep keeps descriptors from other processes. Their count is the variable's value: whoever uses them finds out whether it is one.
func keep(count string) {
	n := 0
	for _, digit := range []byte(count) {
		if digit < '0' || digit > '9' || n > 1<<20 {
			return
		}
		n = 10*n + int(digit-'0')
	}
	for i := range n {
		syscall.CloseOnExec(First + i)
	}
}
