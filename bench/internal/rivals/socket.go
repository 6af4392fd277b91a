package rivals

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-gipc/gipc/bench/internal/work"
)

// A socketChild listens on a unix socket, whose path it reads from its pipe. It ends when the pipe does.
type socketChild struct {
	*work.Child
	path string
}

func startSocketChild(name string, w work.Workload) (_ *socketChild, err error) {
	dir, err := os.MkdirTemp("", "gipc-bench-")
	if err != nil {
		return nil, err
	}
	child, err := work.StartChild(name, w)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	s := &socketChild{child, filepath.Join(dir, "socket")}
	if _, err := io.WriteString(s.Out, s.path+"\n"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if _, err := io.ReadFull(s.In, make([]byte, 1)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *socketChild) Close() error {
	return errors.Join(s.Child.Close(), os.RemoveAll(filepath.Dir(s.path)))
}

// serveSocket is the child's side of startSocketChild. It returns io.EOF when the parent has closed its pipe.
func serveSocket(in, out *os.File, serve func(net.Listener) error) error {
	r := bufio.NewReader(in)
	path, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	l, err := net.Listen("unix", strings.TrimSuffix(path, "\n"))
	if err != nil {
		return err
	}
	if _, err := out.Write([]byte{1}); err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- serve(l) }()
	go func() {
		_, err := r.ReadByte()
		ended <- err
	}()
	return <-ended
}
