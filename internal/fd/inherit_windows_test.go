package fd

import (
	"errors"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/test"
)

const onWindows = true

// number returns the number that a child would have for what it inherits.
func number(h Inheritable) uintptr { return uintptr(h) }

func opened(h Inheritable, deadlines bool) End { return OpenEnd(uintptr(h), deadlines) }

func TestNothingIsInheritable(t *testing.T) {
	for name, s := range streams(t) {
		dup, err := Duplicate(s)
		test.Check(t, err)
		closeAtEnd(t, dup)
		if test.IsInheritable(t, windows.Handle(Number(s))) || test.IsInheritable(t, windows.Handle(dup)) {
			t.Errorf("%s can be inherited by accident", name)
		}
	}
}

func TestClaimMakesNotInheritable(t *testing.T) {
	r, w := newPipe(t)
	h := windows.Handle(Number(w))
	test.Check(t, windows.SetHandleInformation(h, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT))
	test.Equal(t, test.IsInheritable(t, h), true)
	test.Check(t, Claim(uintptr(h)))
	test.Equal(t, test.IsInheritable(t, h), false)
	carries(t, r, w)
	if err := Claim(0x7ffffff0); !errors.Is(err, windows.ERROR_INVALID_HANDLE) {
		t.Errorf("a handle that isn't there: %v", err)
	}
}
