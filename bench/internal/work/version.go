package work

import (
	"runtime"
	"runtime/debug"
)

// Version is that of a module in this program, or of Go if module is "". It is "" if the program doesn't know: that of a test.
func Version(module string) string {
	if module == "" {
		return runtime.Version()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return ""
}
