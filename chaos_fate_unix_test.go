//go:build unix

package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

// What is done to the processes of TestChaos, and whether their ends are reported as what they were.

// chaosPlans are how a process may end by itself.
var chaosPlans = []string{"", "", "", "", "", "error", "panic", "exit", "die", "memory"}

// chaosFates are what its parent may do to it.
var chaosFates = []string{"", "", "", "", "suspend", "suspend", "Kill", "SIGKILL", "Terminate", "Stop", "cancel"}

// handOn hands ends on to a new child, if this process may still have one. If it can't be started, nothing has moved.
func (p *chaosProcess) handOn(ctx context.Context, rng *rand.Rand, a chaosArgs) (handed bool, err error) {
	n := int(p.handed.Add(1))
	if a.ID = p.ID*4 + n; n > 3 || a.ID >= chaosNodes {
		return false, nil
	}
	if p.ID > 0 && rng.IntN(5) == 0 && p.short.TryLock() {
		defer p.short.Unlock()
		p.wasShort.Store(true)
		restore, err := shortOfDescriptors(rng.IntN(20))
		if err != nil {
			return false, err
		}
		defer restore()
		p.ledger.note("few descriptors")
	}
	err = p.spawn(ctx, rng, a)
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case isOfCtx(err): // its fate
		return false, nil
	case p.wasShort.Load() && (errors.Is(err, syscall.EMFILE) || errors.Is(err, ErrNotReady)):
		return false, nil
	}
	return false, err
}

// shortOfDescriptors leaves this process n of them, until restore is called.
func shortOfDescriptors(n int) (restore func(), err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	fd, err := unix.Dup(2) // the lowest free number
	if err != nil {
		return nil, err
	}
	_ = unix.Close(fd)
	low := limit
	setTo(&low.Cur, fd+n)
	return func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }, unix.Setrlimit(unix.RLIMIT_NOFILE, &low)
}

// spawn starts a child with ends of links, and lets something happen to it.
func (p *chaosProcess) spawn(ctx context.Context, rng *rand.Rand, a chaosArgs) error {
	plan, fate := chaosPlans[rng.IntN(len(chaosPlans))], chaosFates[rng.IntN(len(chaosFates))]
	if fate == "suspend" && p.ID > 0 {
		fate = "" // if this process is killed meanwhile, nobody wakes its child
	}
	a.Plan, a.After, a.Seed = plan, 1+rng.IntN(200), rng.Uint64()
	delay := time.Duration(rng.IntN(60_000)) * time.Microsecond
	spawnCtx, cancel := context.WithCancel(ctx)
	if fate == "cancel" {
		time.AfterFunc(delay, cancel)
	}
	child, err := p.start(spawnCtx, a)
	if err != nil {
		cancel()
		return err
	}
	p.children.Go(func() error {
		defer cancel()
		p.noteIf(suffer(child, fate, delay, rand.New(rand.NewPCG(a.Seed, 0))) && fate != "", "fate "+fate)
		err := child.Wait(context.Background())
		if err == nil {
			p.ledger.finished[a.ID].Store(true)
		}
		if !explains(err, plan, fate) && !(ctx.Err() != nil && explains(err, plan, "cancel")) {
			return fmt.Errorf("process %d (plan %q, fate %q): %w", a.ID, plan, fate, err)
		}
		return nil
	})
	return nil
}

func (p *chaosProcess) start(ctx context.Context, a chaosArgs) (_ *Process, err error) {
	if a.Ledger, err = test.DupFile(p.Ledger); err != nil {
		return nil, err
	}
	defer a.Ledger.Close() // it has moved, or is of no use
	if a.Alive, err = test.DupFile(p.Alive); err != nil {
		return nil, err
	}
	defer a.Alive.Close()
	for _, in := range a.In {
		p.ledger.links[in.Link.ID].readers.Or(1 << a.ID)
	}
	for _, out := range a.Out {
		p.ledger.links[out.Link.ID].senders.Or(1 << a.ID)
	}
	child, err := Spawn(ctx, entryChaos, a, &SpawnOptions{
		Name: fmt.Sprint("chaos ", a.ID), Stderr: io.Discard, Grace: 4 * time.Second,
	})
	if err != nil { // nothing has moved
		for _, in := range a.In {
			p.ledger.links[in.Link.ID].readers.And(^(1 << a.ID))
		}
		for _, out := range a.Out {
			p.ledger.links[out.Link.ID].senders.And(^(1 << a.ID))
		}
	}
	return child, err
}

// suffer does to a child what its fate is, unless it has ended before.
func suffer(child *Process, fate string, delay time.Duration, rng *rand.Rand) (suffered bool) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-child.Done():
		return false
	case <-timer.C:
	}
	switch fate { // the errors say that it has ended
	case "suspend":
		for range 1 + rng.IntN(4) {
			_ = child.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(rng.IntN(20_000)) * time.Microsecond)
			_ = child.Signal(syscall.SIGCONT)
			time.Sleep(time.Duration(rng.IntN(5000)) * time.Microsecond)
		}
	case "Kill":
		_ = child.Kill()
	case "SIGKILL":
		_ = child.Signal(syscall.SIGKILL)
	case "Terminate":
		_ = child.Terminate()
	case "Stop":
		_ = child.Stop(context.Background())
	}
	return true
}

// explains says whether a child may have ended so. It may have ended well before its plan or its fate came.
func explains(err error, plan, fate string) bool {
	var exit *ExitError
	if !errors.As(err, &exit) {
		return err == nil && plan != "error"
	}
	said := ""
	if exit.Err != nil {
		said = exit.Err.Error()
	}
	crashed := exit.Code == 2 || fate != "" && exit.Code < 0 // a signal came while it crashed, and may have cut the report
	switch plan {
	case "error":
		if exit.Code == exitFailed && said == "planned error" {
			return true
		}
	case "panic":
		if strings.HasPrefix("planned panic", exit.Panic) && exit.Panic != "" && crashed {
			return true
		}
	case "exit":
		if exit.Code == 7 && said == "" {
			return true
		}
	case "die":
		if exit.Signal == syscall.SIGKILL && said == "" {
			return true
		}
	case "memory":
		// The runtime says that there is none, or crashes in its collector. The race detector has ends of its own.
		if exit.Panic != "" && crashed || test.RaceEnabled() && exit.Code > 0 {
			return true
		}
	}
	switch fate {
	case "Kill":
		return exit.Signal == syscall.SIGKILL && strings.HasPrefix(said, "killed by Kill") // and what its entrypoint had returned
	case "SIGKILL":
		return exit.Signal == syscall.SIGKILL && said == ""
	case "Terminate":
		return exit.Signal == syscall.SIGTERM && strings.HasPrefix(said, "terminated by Terminate")
	case "Stop", "cancel":
		forced := exit.Signal == syscall.SIGTERM || exit.Signal == syscall.SIGKILL
		return exit.Asked || forced && strings.HasPrefix(said, "it did not stop within")
	}
	return false
}
