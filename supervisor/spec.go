package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-gipc/gipc"
)

// ChildOptions say how a Supervisor treats one child. The zero value, and nil, are good.
type ChildOptions struct {
	// Restart says when the child is restarted. The default is Permanent: always.
	Restart Restart

	// Spawn are the options of the child's process. Several children may share them. If another child has Spawn.Name
	// already, "#2" is appended to it, then "#3", and so on. If Spawn.Daemon is set, the Supervisor doesn't wait for the
	// child to end, and stops it after the others.
	//
	// Spawn.Stdout and Spawn.Stderr, if they are no files, are written by one goroutine at a time, even if several children of
	// one Supervisor have the same writer. Writers that == can't compare, such as functions, wait for each other if they are in the
	// same SpawnOptions.
	//
	// Spawn.Stdin must be nil or an *os.File, unless Restart is Temporary. Another reader would lose input at a restart: the
	// goroutine that copies it to one process may still be in Read when the next process starts. Start refuses it.
	Spawn *gipc.SpawnOptions

	// WaitReady says that the child is ready only when it calls gipc.Ready. A child that doesn't call it within
	// Spawn.StartTimeout is killed, and has failed. By default a child is ready as soon as it runs its entrypoint.
	WaitReady bool

	// Liveness is how long the child may leave questions on the control channel unanswered. After that it is killed, and has
	// failed. It is asked four times in that span, and killed after 1 to 1¼ of it. 0: it is not asked.
	//
	// The child's package answers in a goroutine of its own. So Liveness finds a process that is stopped, that is starved of
	// CPU or memory, or whose Go runtime is stuck. It doesn't find an entrypoint that waits for ever, or is in an endless loop.
	Liveness time.Duration
}

// ChildSpec describes a child for Supervisor.Start. Child makes it.
type ChildSpec struct {
	name  string
	opts  ChildOptions
	spawn gipc.SpawnOptions
	// start runs one incarnation, with these options. It ends when ctx does.
	start func(ctx context.Context, o gipc.SpawnOptions) (incarnation, error)
	err   error // what is wrong with it
}

// Child describes a child that runs e. The Supervisor calls args before every start of it, so that each incarnation has
// channels of its own.
//
// The ctx that args gets ends when this incarnation is asked to stop, and when it has ended. Context.Cause tells why. Pass the
// ctx to the goroutines that args starts to serve the incarnation. Args should return soon after ctx has ended, because the
// Supervisor can't stop while args runs. Calls for different children may run at the same time. A panic in args ends the
// program. A call of runtime.Goexit in args is a failure of the child.
//
// The ends and files in what args returns belong to the Supervisor, even if args returns an error beside them. They move to
// the child. If the child can't be started they are closed, but for those in unexported fields. An error from args, and any
// other error of a start, is a failure of the child: the Supervisor treats it as it treats a crash.
func Child[A any](e *gipc.Entrypoint[A], args func(context.Context) (A, error), opts *ChildOptions) ChildSpec {
	var c ChildSpec
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Spawn != nil {
		c.spawn = *c.opts.Spawn
	}
	c.name = c.spawn.Name
	if c.name == "" && e != nil {
		c.name = e.Name()
	}
	err := c.checkSpawn()
	switch {
	case e == nil || e.Name() == "":
		err = errors.New("it has no entrypoint: Register makes one")
	case args == nil:
		err = errors.New("it has no function for its arguments")
	case c.opts.Restart < Permanent || c.opts.Restart > Temporary:
		err = fmt.Errorf("option Restart is %v", c.opts.Restart)
	case c.opts.Liveness < 0:
		err = fmt.Errorf("option Liveness is %v", c.opts.Liveness)
	}
	if err != nil {
		c.err = fmt.Errorf("child %s: %w", cmp.Or(c.name, "without a name"), err)
		return c
	}
	c.start = func(ctx context.Context, o gipc.SpawnOptions) (_ incarnation, err error) {
		var a A
		spawned := false
		defer func() {
			if !spawned {
				gipc.CloseEnds(a)
			}
		}()
		if a, err = args(ctx); err != nil {
			return nil, fmt.Errorf("arguments of child %s: %w", o.Name, err)
		}
		p, err := gipc.Spawn(ctx, e, a, &o)
		if err != nil {
			return nil, err
		}
		spawned = true
		return p, nil
	}
	return c
}

func (c *ChildSpec) checkSpawn() error {
	o := &c.spawn
	if o.Grace < 0 || o.StartTimeout < 0 {
		return fmt.Errorf("a duration is negative (Grace %v, StartTimeout %v)", o.Grace, o.StartTimeout)
	}
	switch o.Stdin.(type) {
	case nil, *os.File:
		return nil
	}
	if c.opts.Restart == Temporary {
		return nil
	}
	// The goroutine that copies it to one incarnation may sit in Read beyond the end of that one.
	return fmt.Errorf("its Stdin is a %T, and a restart would lose what was read from it for the process before. "+
		"Use an *os.File, such as the reading end of os.Pipe, or send the input over a channel in the arguments", o.Stdin)
}
