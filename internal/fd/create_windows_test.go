package fd

import (
	"errors"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/test"
)

func TestPipeIsOursAlone(t *testing.T) {
	name := newPipeName()
	r, w, err := createPipe(name, 0, windows.FILE_FLAG_OVERLAPPED)
	test.Check(t, err)
	defer windows.CloseHandle(r)
	defer windows.CloseHandle(w)
	path, err := windows.UTF16PtrFromString(name)
	test.Check(t, err)
	_, err = windows.CreateFile(path, windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, 0, 0)
	if err == nil {
		t.Error("somebody else can connect")
	}
	if r, w, err := createPipe(name, 0, 0); err == nil {
		_, _ = windows.CloseHandle(r), windows.CloseHandle(w)
		t.Error("there can be another pipe of that name")
	}
}

func TestPipeIsTheUsersAlone(t *testing.T) {
	r, w, err := createPipe(newPipeName(), 0, 0)
	test.Check(t, err)
	defer windows.CloseHandle(r)
	defer windows.CloseHandle(w)
	sd, err := windows.GetSecurityInfo(r, windows.SE_KERNEL_OBJECT, windows.DACL_SECURITY_INFORMATION)
	test.Check(t, err)
	acl, _, err := sd.DACL()
	test.Check(t, err)
	if acl == nil || acl.AceCount != 1 {
		t.Fatalf("access list: %v", sd)
	}
	var ace *windows.ACCESS_ALLOWED_ACE
	test.Check(t, windows.GetAce(acl, 0, &ace))
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	test.Check(t, err)
	if sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart)); !sid.Equals(user.User.Sid) {
		t.Errorf("access for %v", sid)
	}
}

func TestFirstInstanceOnly(t *testing.T) {
	test.SkipUnderWine(t, "it ignores FILE_FLAG_FIRST_PIPE_INSTANCE")
	name := newPipeName()
	path, err := windows.UTF16PtrFromString(name)
	test.Check(t, err)
	squatter, err := windows.CreateNamedPipe(path, windows.PIPE_ACCESS_DUPLEX, 0, windows.PIPE_UNLIMITED_INSTANCES, 0, 0, 0, nil)
	test.Check(t, err)
	defer windows.CloseHandle(squatter)
	if _, _, err := createPipe(name, 0, 0); !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		t.Errorf("got %v", err)
	}
}
