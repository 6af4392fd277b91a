package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-gipc/gipc"
)

// ChildOptions say how a Supervisor treats one child. The zero value, and nil, are good.
type ChildOptions struct {
	// Restart says when the child is restarted. The default is Permanent: always.
	Restart Restart

	// Spawn are the options of its process; they may be shared by several children. If Spawn.Name is taken by another
	// child, "#2" is appended, and so on. If Spawn.Daemon is set, the Supervisor doesn't wait for the child to end, but
	// stops it after the others.
	Spawn *gipc.SpawnOptions

	// WaitReady says that the child is ready when it calls Ready. If it doesn't within gipc.SpawnOptions.StartTimeout, it is
	// killed and has failed. By default it is ready as soon as it runs its entrypoint.
	WaitReady bool

	// Liveness is how long the child may leave questions on the control channel unanswered; then it is killed and has
	// failed. It is asked four times in that span, and found dead after 1 to 1¼ of it. 0: it is not asked.
	//
	// The child's package answers in a goroutine of its own. So this finds processes that are stopped, starved of CPU or
	// memory, or whose Go runtime is stuck. It doesn't find an entrypoint that waits for ever, or is in an endless loop.
	Liveness time.Duration
}

// ChildSpec is a child for a Supervisor to run; Child makes it.
type ChildSpec struct {
	name  string
	opts  ChildOptions
	spawn gipc.SpawnOptions
	// start runs one incarnation, which ends when ctx does.
	start func(ctx context.Context, name string) (incarnation, error)
	err   error // what is wrong with it
}

// Child describes a child that runs e. The Supervisor calls args before every start of it, so that each incarnation has
// channels of its own.
//
// The ctx that args gets ends when this incarnation is asked to stop, and when it has ended. Context.Cause tells why. Pass the
// ctx to the goroutines that args starts to serve the incarnation. Args should return soon after ctx has ended, because the
// Supervisor can't stop while args runs. Calls for different children may run at the same time. A panic in args ends the
// program.
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
	switch {
	case e == nil:
		c.err = errors.New("child without an entrypoint")
	case args == nil:
		c.err = fmt.Errorf("child %s without a function for its arguments", e.Name())
	case c.opts.Restart < Permanent || c.opts.Restart > Temporary:
		c.err = fmt.Errorf("child %s: Restart is %v", e.Name(), c.opts.Restart)
	case c.opts.Liveness < 0:
		c.err = fmt.Errorf("child %s: Liveness is negative", e.Name())
	default:
		if err := checkSpawn(&c.spawn); err != nil {
			c.err = fmt.Errorf("child %s: %w", e.Name(), err)
		}
	}
	if c.err != nil {
		return c
	}
	c.name = c.spawn.Name
	if c.name == "" {
		c.name = e.Name()
	}
	c.start = func(ctx context.Context, name string) (incarnation, error) {
		a, err := args(ctx)
		if err != nil {
			gipc.CloseEnds(a)
			return nil, fmt.Errorf("arguments of child %s: %w", name, err)
		}
		o := c.spawn
		o.Name = name
		p, err := gipc.Spawn(ctx, e, a, &o)
		if err != nil {
			gipc.CloseEnds(a)
			return nil, err
		}
		return p, nil
	}
	return c
}

func checkSpawn(o *gipc.SpawnOptions) error {
	if o.Grace < 0 || o.StartTimeout < 0 {
		return fmt.Errorf("a duration is negative (Grace %v, StartTimeout %v)", o.Grace, o.StartTimeout)
	}
	return nil
}
