//go:build !windows

package test

import "testing"

// SkipUnderWine skips nothing: this is not Windows.
func SkipUnderWine(testing.TB, string) {}

// UnderWine is false.
func UnderWine() bool { return false }
