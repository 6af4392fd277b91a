//go:build !linux

package proc

import (
	"errors"
	"fmt"
	"runtime"
)

// ResidentMemory would return how much of this process is in memory, in bytes.
func ResidentMemory() (uint64, error) {
	return 0, fmt.Errorf("%s can't tell how much memory a process uses: %w", runtime.GOOS, errors.ErrUnsupported)
}
