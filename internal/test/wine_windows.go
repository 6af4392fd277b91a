package test

import (
	"testing"

	"golang.org/x/sys/windows"
)

// UnderWine says whether this is Wine and not Windows.
func UnderWine() bool {
	return windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}

// SkipUnderWine skips a test of what Windows does and Wine doesn't. docs/platforms.md lists them.
func SkipUnderWine(t testing.TB, reason string) {
	if UnderWine() {
		t.Helper()
		t.Skip("under Wine: " + reason)
	}
}
