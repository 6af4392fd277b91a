package supervisor

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// deedArgs are the arguments of most children of the tests; each deed uses some of them.
type deedArgs struct {
	Do   string
	Text string
	N    int
	In   *gipc.Reader[string]
	Out  *gipc.Writer[string]
	Talk *gipc.Duplex[string, string]
	File *os.File
}

var entryDeed = gipc.Register("deed", func(ctx context.Context, a deedArgs) error {
	do, ok := deeds[a.Do]
	if !ok {
		return fmt.Errorf("there is no deed %q", a.Do)
	}
	return do(ctx, a)
})

// deeds are what a child can be told to do, by name.
var deeds = map[string]func(ctx context.Context, a deedArgs) error{
	"await ctx": func(ctx context.Context, _ deedArgs) error {
		<-ctx.Done()
		return ctx.Err()
	},
	"await ctx, well": func(ctx context.Context, _ deedArgs) error {
		<-ctx.Done()
		return nil
	},
	"ignore ctx": func(context.Context, deedArgs) error { select {} },
	"spin": func(context.Context, deedArgs) error {
		//lint:ignore SA5002 a busy loop is what is tested
		for {
		}
	},
	"exit": func(_ context.Context, a deedArgs) error {
		os.Exit(a.N)
		return nil
	},
	"stderr and wait": func(_ context.Context, a deedArgs) error {
		fmt.Fprint(os.Stderr, a.Text)
		select {}
	},
	"stdout, stderr and exit": func(_ context.Context, a deedArgs) error {
		fmt.Fprint(os.Stdout, a.Text)
		fmt.Fprint(os.Stderr, a.Text)
		os.Exit(a.N)
		return nil
	},
	"ready when told": func(ctx context.Context, a deedArgs) error {
		if _, err := a.In.Get(ctx); err != nil {
			return err
		}
		if err := gipc.Ready(ctx); err != nil {
			return err
		}
		if err := gipc.Ready(ctx); err != nil { // again does no harm
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	},
	// Says "up" on Out, if that is there, and ends as In says.
	"await order": func(ctx context.Context, a deedArgs) error {
		if a.Out != nil {
			if err := a.Out.Put(ctx, "up"); err != nil {
				return err
			}
		}
		how, err := a.In.Get(ctx)
		if err != nil {
			return err
		}
		switch how {
		case "nil":
			return nil
		case "panic":
			panic("boom")
		}
		return fmt.Errorf("there is no order %q", how)
	},
}

// entryAck answers each job with its number, once it is done.
var entryAck = gipc.Register("acknowledge", func(ctx context.Context, jobs *gipc.Duplex[int, int]) error {
	for job, err := range jobs.All(ctx) {
		if err == nil {
			err = jobs.Put(ctx, job)
		}
		if err != nil {
			return err
		}
	}
	return nil
})

// cargo is what can't be handed over, as a test fills it.
type cargo struct {
	W       *gipc.Writer[string]
	Any     any
	Last    *gipc.Writer[string]
	ByFloat map[float64]*gipc.Writer[string]
}

var entryCargo = gipc.Register("cargo", func(context.Context, cargo) error { return nil })

// nestArgs make a process that may run a supervisor of its own. Each process says its name and pid on Tell, and holds it
// for as long as it lives.
type nestArgs struct {
	Name  string
	Tell  *os.File
	Inner []string // names of its children
	Grace time.Duration
	Deaf  bool // the children don't stop when asked
}

// entryNest is filled in by init because a nest spawns nests.
var entryNest = gipc.Register("nest", func(ctx context.Context, a nestArgs) error { return nest(ctx, a) })

var nest func(context.Context, nestArgs) error

func init() { nest = runNest }

func runNest(ctx context.Context, a nestArgs) error {
	if _, err := fmt.Fprintf(a.Tell, "%s %d\n", a.Name, os.Getpid()); err != nil {
		return err
	}
	if len(a.Inner) == 0 {
		if a.Deaf {
			select {}
		}
		<-ctx.Done()
		return ctx.Err()
	}
	s := New(ctx, nil)
	for _, name := range a.Inner {
		err := s.Start(Child(entryNest, func(context.Context) (nestArgs, error) {
			tell, err := test.DupFile(a.Tell)
			return nestArgs{Name: name, Tell: tell, Deaf: a.Deaf}, err
		}, &ChildOptions{Spawn: &gipc.SpawnOptions{Name: name, Grace: a.Grace}}))
		if err != nil {
			return err
		}
	}
	return s.Wait()
}
