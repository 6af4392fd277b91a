//go:build !linux

package ring

import (
	"errors"
	"os"

	"github.com/go-gipc/gipc/internal/fd"
)

// newFile fails: only Linux has memory that two processes can share and none of them can shrink.
func newFile(int) (one, other *os.File, err error) { return nil, nil, errors.ErrUnsupported }

func mapShared(*os.File) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmap([]byte) {}

type ringer struct{}

func newRinger(fd.End) (*ringer, error) { return nil, errors.ErrUnsupported }

func (*ringer) ring() error { return errors.ErrUnsupported }
