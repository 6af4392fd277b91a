package proc

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"sync/atomic"

	"github.com/go-gipc/gipc/internal/fd"
)

// What a program is to gipc, for all its packages.
var (
	// Initialized says whether gipc.Init was called.
	Initialized atomic.Bool

	// Parent is a ctx that Orphan ends, when this process's parent is gone. It never ends in a process that is no child.
	Parent, orphan = context.WithCancelCause(context.Background())

	// ErrParentGone is why a child that is orphaned ends.
	ErrParentGone = errors.New("gipc: the parent process is gone")
)

// Orphan is called when this process's parent is gone.
func Orphan() { orphan(ErrParentGone) }

// Inherited is what a child got from Start.
type Inherited struct {
	Orders, Reports fd.End
	crash           *os.File
}

// Inherit takes over what Start passed on. It returns nil if this process was not started so. Call it once.
func Inherit() (*Inherited, error) {
	fds, ok, err := inherit()
	if !ok || err != nil {
		return nil, err
	}
	return &Inherited{
		Orders: fd.OpenEnd(fds[ordersFD], true), Reports: fd.OpenEnd(fds[reportsFD], true), crash: fd.OpenFile(fds[crashFD], false),
	}, nil
}

// OpenLog opens this process's side of its log pipe, whose number its parent has told it.
func OpenLog(number uint64) (fd.End, error) {
	if err := fd.Claim(uintptr(number)); err != nil {
		return nil, err
	}
	return fd.OpenEnd(uintptr(number), true), nil
}

// ReportCrashes makes the Go runtime tell the parent of a crash. Init functions of the program may undo that, so it is called
// again behind them, for the last time.
func (in *Inherited) ReportCrashes(last bool) error {
	if last {
		defer in.crash.Close() // the runtime has a duplicate
	}
	return debug.SetCrashOutput(in.crash, debug.CrashOptions{})
}
