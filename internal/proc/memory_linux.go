package proc

import (
	"fmt"
	"os"
)

// ResidentMemory returns how much of this process is in memory, in bytes.
func ResidentMemory() (uint64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident uint64 // pages
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0, fmt.Errorf("/proc/self/statm: %w", err)
	}
	return resident * uint64(os.Getpagesize()), nil
}
