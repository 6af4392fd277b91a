//go:build unix

package gipc

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// A random check of trees of processes against what is promised. A parent, its children and theirs send numbered messages to
// each other, with any codec, buffer and ctx. They hand their ends on to new children. Meanwhile processes are killed,
// suspended and stopped, crash, run out of memory and of descriptors, and ends are closed. Nothing is lost but what died, each
// death is reported as what it was, and nothing is left.

var (
	chaosTime = flag.Duration("chaos.time", 2*time.Second, "how long TestChaos runs; a quarter of it with -short")
	chaosSeed = flag.Uint64("chaos.seed", 0, "the one seed that TestChaos runs with, as far as scheduling allows; 0: many")
)

func TestChaos(t *testing.T) {
	before, goroutines, threads := test.OpenDescriptors(t), runtime.NumGoroutine(), threadsMade()
	limit := *chaosTime
	if testing.Short() {
		limit /= 4
	}
	rounds, suffered := 0, map[string]int64{}
	for end := time.Now().Add(limit); time.Now().Before(end) && !t.Failed(); rounds++ {
		seed := *chaosSeed
		if seed == 0 {
			seed = rand.Uint64()
		}
		playChaos(t, seed, suffered)
	}
	t.Logf("%d rounds", rounds)
	for _, fault := range slices.Sorted(maps.Keys(suffered)) {
		t.Logf("%s: %d", fault, suffered[fault])
	}
	test.Equal(t, test.OpenDescriptors(t), before)
	test.Eventually(t, "all goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if more := threadsMade() - threads; more > 20 {
		t.Errorf("%d more threads", more)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("there is a child left: %v, %v", pid, err)
	}
}

// playChaos plays one round, in which this process is the first of the tree. It adds up what its processes suffered.
func playChaos(t *testing.T, seed uint64, suffered map[string]int64) {
	name := fmt.Sprintf("-chaos.seed=%d", seed)
	timer := time.AfterFunc(test.Patience, func() {
		stacks := make([]byte, 1<<20)
		panic(fmt.Sprintf("%s hangs:\n%s", name, stacks[:runtime.Stack(stacks, true)]))
	})
	defer timer.Stop()
	ledger, file := newChaosLedger(t)
	defer ledger.close()
	defer file.Close()
	gone, alive, err := fd.NewOutputPipe()
	test.Check(t, err)
	defer gone.Close()
	rng := rand.New(rand.NewPCG(seed, 0))
	root := &chaosProcess{chaosArgs: chaosArgs{Seed: seed, Ledger: file, Alive: alive}, ledger: ledger}
	links, err := root.populate(rng)
	if err == nil {
		err = root.serve(context.Background())
	}
	CloseEnds(root.In)
	CloseEnds(root.Out)
	if waited := root.children.Wait(); err == nil {
		err = waited
	}
	_ = alive.Close()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	allGone(t, gone)
	ledger.finished[0].Store(err == nil)
	for _, link := range links {
		if problem := ledger.check(link); problem != "" {
			t.Errorf("%s: link %+v: %s", name, link, problem)
		}
	}
	for i, fault := range chaosFaults {
		suffered[fault] += ledger.suffered[i].Load()
	}
}

// populate makes links between this process and the children that it starts. It serves the ends of those that can't be
// started itself.
func (p *chaosProcess) populate(rng *rand.Rand) (links []chaosLink, err error) {
	args := make([]chaosArgs, 2+rng.IntN(3)) // the first are this process's
	for id := range 1 + rng.IntN(10) {
		link := newChaosLink(id, rng)
		links = append(links, link)
		in, out, err := link.open()
		if err != nil {
			return links, err
		}
		reader, writer := &args[rng.IntN(len(args))], &args[rng.IntN(len(args))]
		reader.In, writer.Out = append(reader.In, in), append(writer.Out, out)
	}
	p.keep(args[0])
	for i, a := range args[1:] {
		a.ID = 1 + i
		if startErr := p.spawn(context.Background(), rng, a); startErr != nil {
			p.keep(a)
			if !isOfCtx(startErr) && err == nil {
				err = startErr
			}
		}
	}
	p.handed.Store(int64(len(args) - 1))
	return links, err
}

// keep makes ends this process's to serve.
func (p *chaosProcess) keep(a chaosArgs) {
	p.In, p.Out = append(p.In, a.In...), append(p.Out, a.Out...)
	for _, in := range a.In {
		p.ledger.links[in.Link.ID].readers.Or(1)
	}
	for _, out := range a.Out {
		p.ledger.links[out.Link.ID].senders.Or(1)
	}
}
