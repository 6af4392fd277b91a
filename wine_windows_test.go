package gipc

import (
	"testing"

	"golang.org/x/sys/windows"
)

// skipUnderWine skips a test of what Windows does and Wine doesn't. docs/platforms.md lists them.
func skipUnderWine(t testing.TB, reason string) {
	if windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil {
		t.Helper()
		t.Skip("under Wine: " + reason)
	}
}
