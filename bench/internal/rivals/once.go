package rivals

import (
	"bufio"
	"os"

	"github.com/go-gipc/gipc/bench/internal/work"
)

// execOnce starts a child by os/exec for one message.
type execOnce struct{}

const execName = "os/exec"

func init() {
	work.RegisterChild(execName, func(_ work.Workload, in, out *os.File) error {
		c := frames{r: bufio.NewReaderSize(in, chunk), w: out}
		var frame []byte
		if err := c.Recv(&frame); err != nil {
			return err
		}
		return c.Send(frame)
	})
}

func (execOnce) Name() string    { return execName }
func (execOnce) About() string   { return "the same program, started by os/exec with two pipes" }
func (execOnce) Version() string { return work.Version("") }

func (execOnce) Open(w work.Workload) (work.Session, error) {
	if w.Kind != work.Spawn {
		return nil, work.ErrNotOffered
	}
	frame := frameShape(16).Make(0)
	var answer []byte
	return work.Turns(func() error {
		child, err := work.StartChild(execName, w)
		if err != nil {
			return err
		}
		c := frames{r: bufio.NewReader(child.In), w: child.Out}
		if err := c.Send(frame); err != nil {
			return err
		}
		if err := c.Recv(&answer); err != nil {
			return err
		}
		return child.Close()
	}), nil
}
