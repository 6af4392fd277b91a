//go:build !windows

package gipc

import "testing"

// skipUnderWine skips nothing: this is not Windows.
func skipUnderWine(testing.TB, string) {}
