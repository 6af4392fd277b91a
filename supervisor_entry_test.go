package gipc

import (
	"context"
	"fmt"
	"os"
	"time"
)

// entryAck answers each job with its number, once it is done.
var entryAck = Register("acknowledge", func(ctx context.Context, jobs *Duplex[int, int]) error {
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
var entryNest = Register("nest", func(ctx context.Context, a nestArgs) error { return nest(ctx, a) })

var nest func(context.Context, nestArgs) error

func init() {
	nest = runNest
	deeds["ready when told"] = func(ctx context.Context, a deedArgs) error {
		if _, err := a.In.Get(ctx); err != nil {
			return err
		}
		if err := Ready(ctx); err != nil {
			return err
		}
		if err := Ready(ctx); err != nil { // again does no harm
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

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
	s := NewSupervisor(ctx, nil)
	for _, name := range a.Inner {
		err := s.Start(Child(entryNest, func(context.Context) (nestArgs, error) {
			tell, err := dupFile(a.Tell)
			return nestArgs{Name: name, Tell: tell, Deaf: a.Deaf}, err
		}, &ChildOptions{Spawn: &SpawnOptions{Name: name, Grace: a.Grace}}))
		if err != nil {
			return err
		}
	}
	return s.Wait()
}
