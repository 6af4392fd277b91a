package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-gipc/gipc/internal/fd"
)

// stdio connects a child's standard streams.
type stdio struct {
	child  []*os.File // ends for the child, to be closed here once it has them
	feeds  []feed     // what the parent must copy
	stderr *tail
}

// feed is a stream copied by a goroutine.
type feed struct {
	name string
	from fd.End // child's output; nil for stdin
	to   *tail

	stdin   io.Reader
	toChild *os.File
}

func (s *stdio) input(r io.Reader) (*os.File, error) {
	switch r := r.(type) {
	case nil:
		f, err := os.Open(os.DevNull)
		s.child = append(s.child, f)
		return f, err
	case *os.File:
		return r, nil
	}
	theirs, mine, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.child = append(s.child, theirs)
	s.feeds = append(s.feeds, feed{name: "stdin", stdin: r, toChild: mine})
	return theirs, nil
}

func (s *stdio) output(name string, w io.Writer, standard *os.File) (*os.File, *tail, error) {
	switch w := w.(type) {
	case nil:
		return standard, nil, nil
	case *os.File:
		return w, nil, nil
	}
	mine, theirs, err := fd.NewOutputPipe()
	if err != nil {
		return nil, nil, err
	}
	t := newTail(w)
	s.child = append(s.child, theirs)
	s.feeds = append(s.feeds, feed{name: name, from: mine, to: t})
	return theirs, t, nil
}

// releaseChild closes here what the child has.
func (s *stdio) releaseChild() {
	for _, f := range s.child {
		_ = f.Close() // of pipes and the null device: nothing is lost
	}
	s.child = nil
}

// abandon closes everything, when no child was started.
func (s *stdio) abandon() {
	s.releaseChild()
	for _, f := range s.feeds {
		if f.from != nil {
			_ = f.from.Close()
		} else {
			_ = f.toChild.Close()
		}
	}
}

// serve copies until the child's end. Output that then is still to come, from a grandchild, is cut off when served ends.
func (s *stdio) serve(group *errgroup.Group, served context.Context, exited <-chan struct{}) {
	for _, f := range s.feeds {
		if f.from == nil {
			go f.copyIn() // its reader may block for ever: nobody can wait for it
			group.Go(func() error {
				<-exited
				return ignoreClosed(f.toChild.Close())
			})
			continue
		}
		copied := make(chan error, 1)
		go func() { copied <- f.copyOut() }() // its writer may block for ever
		group.Go(func() error {
			err := f.awaitCopied(copied, served)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			return nil
		})
	}
}

func (f feed) copyOut() error {
	defer f.from.Close()
	_, err := io.Copy(f.to, f.from)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = f.copyRest()
	}
	if err != nil {
		return err
	}
	return f.to.failure()
}

// copyRest copies what is in the pipe when the copying is cut off: a slow writer gets that too.
func (f feed) copyRest() error {
	rest := make([]byte, maxPipe)
	_ = f.from.SetReadDeadline(time.Now().Add(DrainDelay / 10)) // where nothing is there, nobody shall wait
	n, err := f.from.Read(rest)
	if n > 0 {
		_, _ = f.to.Write(rest[:n]) // a tail never fails
	}
	if err == io.EOF {
		return nil
	}
	return ignoreDrained(err)
}

// maxPipe is what a pipe holds at most, in bytes, unless a privileged process has enlarged it (pipe(7)).
const maxPipe = 1 << 20

// awaitCopied waits for copyOut. When served has ended, the writer has DrainDelay for each call. There are two at most: the one
// under way, and copyRest's.
func (f feed) awaitCopied(copied <-chan error, served context.Context) error {
	select {
	case err := <-copied:
		return err
	case <-served.Done():
	}
	_ = f.from.SetReadDeadline(time.Now()) // fails only where copyOut has closed it
	const steps = 10
	ticker := time.NewTicker(DrainDelay / steps) // if this process stands still, that costs the writer a step or two
	defer ticker.Stop()
	for blocked := 0; blocked < steps; {
		select {
		case err := <-copied:
			return err
		case <-f.to.written:
			blocked = 0
		case <-ticker.C:
			if f.to.writing.Load() { // else a Read is under way, which its deadline ends
				blocked++
			}
		}
	}
	return errWriterBlocks
}

var errWriterBlocks = errors.New("the writer still blocks after the child's end")

// copyIn feeds the child's stdin. An error means that the child doesn't read any more, or that its input has failed; the
// child sees the end of its input in both cases.
func (f feed) copyIn() {
	_, _ = io.Copy(f.toChild, f.stdin)
	_ = f.toChild.Close()
}

// ignoreDrained drops the error of a read that was cut off after the child's end.
func ignoreDrained(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// connect opens the standard streams of cmd as c says.
func (s *stdio) connect(cmd *exec.Cmd, c *Command) error {
	stdin, err := s.input(c.Stdin)
	if err != nil {
		return err
	}
	stdout, kept, err := s.output("stdout", c.Stdout, os.Stdout)
	if err != nil {
		return err
	}
	stderr := stdout
	if !sameWriter(c.Stdout, c.Stderr) {
		stderr, kept, err = s.output("stderr", c.Stderr, os.Stderr)
		if err != nil {
			return err
		}
	}
	s.stderr = kept
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	return nil
}

// sameWriter says whether the child's output goes to one writer, which then gets it in order and from one goroutine.
func sameWriter(a, b io.Writer) bool {
	return a != nil && b != nil && reflect.ValueOf(a).Comparable() && a == b
}
