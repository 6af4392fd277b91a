package gipc

import (
	"testing"

	"golang.org/x/sys/windows"
)

func underWine() bool {
	return windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}

// skipUnderWine skips a test of what Windows does and Wine doesn't. docs/platforms.md lists them.
func skipUnderWine(t testing.TB, reason string) {
	if underWine() {
		t.Helper()
		t.Skip("under Wine: " + reason)
	}
}
