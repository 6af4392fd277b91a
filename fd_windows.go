package gipc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/go-gipc/gipc/internal/fd"
)

// inheritable returns a second handle of an end's stream, for a child to inherit.
func inheritable(stream io.Closer) (fd.Inheritable, error) {
	h, err := fd.Duplicate(stream)
	if _, isFile := stream.(*os.File); isFile || !errors.Is(err, fd.ErrNoFile) {
		return h, err
	}
	if _, ok := stream.(syscall.Conn); ok {
		return 0, fmt.Errorf("a socket can't be handed to a child process on Windows: %w", errors.ErrUnsupported)
	}
	return h, err
}
