package gipc

import "io"

// childPipes are the three pipes between a parent and its child.
type childPipes struct {
	orders  pipeEnd
	reports pipeEnd
	crash   pipeEnd
	child   []inheritable
	mine    []io.Closer
}

func (c *childPipes) open() error {
	var err error
	if c.orders, err = c.openOne(true); err != nil {
		return err
	}
	if c.reports, err = c.openOne(false); err != nil {
		return err
	}
	crash, w, err := newOutputPipe()
	if err != nil {
		return err
	}
	c.crash = crash
	c.mine = append(c.mine, crash)
	fd, err := giveFile(w)
	if err != nil {
		_ = w.Close()
		return err
	}
	c.child = append(c.child, fd)
	return nil
}

// openOne opens a pipe whose read end is the child's if toChild, and returns the other end.
func (c *childPipes) openOne(toChild bool) (pipeEnd, error) {
	r, w, err := newPipe(0)
	if err != nil {
		return nil, err
	}
	mine, theirs := r, w
	if toChild {
		mine, theirs = w, r
	}
	c.mine = append(c.mine, mine)
	fd, err := give(theirs)
	if err != nil {
		_ = theirs.Close()
		return nil, err
	}
	c.child = append(c.child, fd)
	return mine, nil
}

// releaseChild closes here what the child has.
func (c *childPipes) releaseChild() {
	for _, fd := range c.child {
		_ = fd.Close() // of unused pipes: nothing is lost
	}
	c.child = nil
}

func (c *childPipes) abandon() {
	c.releaseChild()
	for _, end := range c.mine {
		_ = end.Close()
	}
}
