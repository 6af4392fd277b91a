package proc

import (
	"io"

	"github.com/go-gipc/gipc/internal/fd"
)

// The descriptors that every child gets before those that are passed to it.
const (
	ordersFD  = iota // what the parent sends
	reportsFD        // what the child sends
	crashFD          // what the runtime prints when the child crashes
	firstPassed
	logFD = firstPassed // what the child logs, where that is asked for: then it comes before what is passed
)

// logPipeSize is the room to ask for in a log pipe, in bytes: a burst shall fit in.
const logPipeSize = 256 << 10

// pipes are the pipes between a parent and its child, in the order of the descriptors.
type pipes struct {
	orders  fd.End
	reports fd.End
	crash   fd.End
	log     fd.End // nil where it is not asked for
	child   []fd.Inheritable
	mine    []io.Closer
}

func (c *pipes) open(log bool) error {
	var err error
	if c.orders, err = c.openOne(true, 0); err != nil {
		return err
	}
	if c.reports, err = c.openOne(false, 0); err != nil {
		return err
	}
	if err = c.openCrash(); err != nil || !log {
		return err
	}
	c.log, err = c.openOne(false, logPipeSize)
	return err
}

func (c *pipes) openCrash() error {
	crash, w, err := fd.NewOutputPipe()
	if err != nil {
		return err
	}
	c.crash = crash
	c.mine = append(c.mine, crash)
	given, err := fd.GiveFile(w)
	if err != nil {
		_ = w.Close()
		return err
	}
	c.child = append(c.child, given)
	return nil
}

// openOne opens a pipe whose read end is the child's if toChild, and returns the other end.
func (c *pipes) openOne(toChild bool, size int) (fd.End, error) {
	mine, theirs, err := fd.NewChildPipe(toChild, size)
	if err != nil {
		return nil, err
	}
	c.mine = append(c.mine, mine)
	c.child = append(c.child, theirs)
	return mine, nil
}

// releaseChild closes here what the child has.
func (c *pipes) releaseChild() {
	for _, f := range c.child {
		_ = f.Close() // of unused pipes: nothing is lost
	}
	c.child = nil
}

func (c *pipes) abandon() {
	c.releaseChild()
	for _, end := range c.mine {
		_ = end.Close()
	}
}
