//go:build unix

package gipc

import (
	"io"
	"os"

	"github.com/go-gipc/gipc/internal/fd"
)

// inheritable returns a second descriptor of an end's stream, for a child to inherit. Of a net.Conn or net.Listener it
// duplicates the file: that file's own Fd, which os/exec calls, would make the socket blocking, here too.
func inheritable(stream io.Closer) (fd.Inheritable, error) {
	c, ok := stream.(interface{ File() (*os.File, error) })
	if !ok {
		return fd.Duplicate(stream)
	}
	f, err := c.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fd.Duplicate(f)
}
