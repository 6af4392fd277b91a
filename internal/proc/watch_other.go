//go:build !linux

package proc

import (
	"errors"

	"github.com/go-gipc/gipc/internal/fd"
)

// watchExit fails: a goroutine has to wait for each child, and a thread with it.
func watchExit(int, func()) error { return errors.ErrUnsupported }

// watchPipe fails: a goroutine has to read each pipe.
func watchPipe(fd.End, func()) (unwatch func(), err error) { return nil, errors.ErrUnsupported }
