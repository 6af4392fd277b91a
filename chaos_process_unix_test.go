//go:build unix

package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the processes of TestChaos do: they serve the links whose ends they have, and hand some of them on.

// chaosArgs are the arguments of a process of TestChaos.
type chaosArgs struct {
	ID     int
	Seed   uint64
	Plan   string // how it ends, after so many messages; "": it does all it has to
	After  int
	Ledger *os.File
	Alive  *os.File // all processes hold it: its other end tells when they are gone
	In     []chaosIn
	Out    []chaosOut
}

var entryChaos *Entrypoint[chaosArgs]

func init() { entryChaos = Register("chaos", runChaos) }

func runChaos(ctx context.Context, a chaosArgs) error {
	ledger, err := openChaosLedger(a.Ledger)
	if err != nil {
		return err
	}
	p := &chaosProcess{chaosArgs: a, ledger: ledger}
	return p.serve(ctx)
}

// chaosProcess is one of the processes, seen from inside.
type chaosProcess struct {
	chaosArgs
	ledger   *chaosLedger
	messages atomic.Int64
	started  atomic.Int64 // goroutines and children that have got random numbers of their own
	handed   atomic.Int64 // children that got ends on the way
	short    sync.Mutex   // held while descriptors are short
	wasShort atomic.Bool
	children chaosGroup
}

// chaosGroup is like an errgroup. Where one of its goroutines panics, Wait doesn't return before the process has crashed.
type chaosGroup struct {
	wg   sync.WaitGroup
	once sync.Once
	err  error
}

func (g *chaosGroup) Go(f func() error) {
	g.wg.Add(1)
	go func() {
		if err := f(); err != nil {
			g.once.Do(func() { g.err = err })
		}
		g.wg.Done() // in no defer
	}()
}

func (g *chaosGroup) Wait() error {
	g.wg.Wait()
	return g.err
}

// random returns random numbers for a goroutine.
func (p *chaosProcess) random() *rand.Rand {
	return rand.New(rand.NewPCG(p.Seed, uint64(p.started.Add(1))))
}

// serve serves the links until they end, and waits for the children that it made meanwhile.
func (p *chaosProcess) serve(ctx context.Context) error {
	var group chaosGroup
	for i := range p.In {
		rng := p.random()
		group.Go(func() error { return p.read(ctx, &p.In[i], rng) })
	}
	for i := range p.Out {
		rng := p.random()
		group.Go(func() error { return p.write(ctx, &p.Out[i], rng) })
	}
	err := group.Wait()
	if childErr := p.children.Wait(); childErr != nil {
		err = childErr
	}
	if err == nil && p.Plan == "error" {
		p.ledger.note("plan error")
		return errors.New("planned error")
	}
	return err
}

// read reads a link to its end, or hands the end on.
func (p *chaosProcess) read(ctx context.Context, in *chaosIn, rng *rand.Rand) error {
	entry := &p.ledger.links[in.Link.ID]
	closeAt, handAt := someTime(rng, 12, in.Link.N), someTime(rng, 3, in.Link.N)
	used := &chaosMessage{}
	for count := 0; ; {
		if handAt >= 0 && count >= handAt {
			if handed, err := p.handOn(ctx, rng, chaosArgs{In: []chaosIn{*in}}); handed || err != nil {
				p.noteIf(handed, "Reader handed on")
				return err
			}
			handAt = -1
		}
		if closeAt >= 0 && count >= closeAt {
			entry.in.Store(uint32(endEarly))
			p.ledger.note("Reader closed early")
			return in.close()
		}
		n, err := p.getSome(ctx, in, used, rng)
		count += n
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil || isOfCtx(err):
			p.noteIf(err != nil, "call cancelled")
		case err == io.EOF && !in.all():
			return fmt.Errorf("link %d: io.EOF at %v of %d messages", in.Link.ID, in.At, in.Link.N)
		case err == io.EOF:
			entry.in.Store(uint32(endClosed))
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			entry.in.Store(uint32(endCut))
			return nil
		default:
			return fmt.Errorf("link %d: %w", in.Link.ID, err)
		}
	}
}

// getSome gets one or some messages in one of the ways to do it.
func (p *chaosProcess) getSome(ctx context.Context, in *chaosIn, used *chaosMessage, rng *rand.Rand) (n int, err error) {
	ctx, cancel := someCtx(ctx, rng)
	defer cancel()
	arrived := func(m chaosMessage) error {
		err := in.note(m)
		if err == nil {
			n++
			p.ledger.links[in.Link.ID].received.Add(1)
			p.ledger.note("message")
			err = p.step()
		}
		return err
	}
	switch rng.IntN(10) {
	case 0:
		if in.Typed != nil {
			return n, receiveChan(ctx, in.Typed, arrived)
		}
		return n, receiveChan(ctx, in.Raw, func(b []byte) error { return arrived(chaosMessage{Body: b}) })
	case 1, 2, 3:
		if err = in.getInto(ctx, used); err == nil {
			err = arrived(*used)
		}
		return n, err
	}
	m, err := in.get(ctx)
	if err == nil {
		err = arrived(m)
	}
	return n, err
}

// receiveChan receives from a native channel until ctx ends; io.EOF is the end of the stream.
func receiveChan[T any](ctx context.Context, r *Reader[T], arrived func(T) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
	defer cancel()
	msgs, errs := r.Chan(ctx)
	var problem error
	for m := range msgs {
		if problem == nil {
			problem = arrived(m)
		}
	}
	switch err := <-errs; {
	case problem != nil:
		return problem
	case err == nil:
		return io.EOF
	default:
		return err
	}
}

// write sends all messages of a link and closes it, or hands the end on.
func (p *chaosProcess) write(ctx context.Context, out *chaosOut, rng *rand.Rand) error {
	entry := &p.ledger.links[out.Link.ID]
	closeAt, handAt := someTime(rng, 12, out.Link.N), -1
	if out.Link.Lanes == 1 {
		handAt = someTime(rng, 3, out.Link.N)
	}
	var lanes chaosGroup
	handed := false
	for lane := range out.Link.Lanes {
		rng := p.random()
		lanes.Go(func() error {
			for out.At[lane] < out.Link.N {
				var err error
				if lane == 0 && handAt >= 0 && out.At[0] >= handAt {
					handed, err = p.handOn(ctx, rng, chaosArgs{Out: []chaosOut{*out}})
					if handed || err != nil {
						p.noteIf(handed, "Writer handed on")
						return err
					}
					handAt = -1
				}
				if lane == 0 && closeAt >= 0 && out.At[0] >= closeAt {
					entry.out.Store(uint32(endEarly))
					p.ledger.note("Writer closed early")
					return out.end().CloseNow()
				}
				if err := p.putSome(ctx, out, lane, rng); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := lanes.Wait()
	switch ended := chaosEnd(entry.out.Load()); {
	case handed:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case ended == endEarly:
		return nil
	case err == nil:
		err = p.close(out, rng)
	}
	switch {
	case err == nil:
		entry.out.Store(uint32(endClosed))
	case errors.Is(err, ErrPeerClosed):
		entry.out.Store(uint32(endCut))
	default:
		return fmt.Errorf("link %d: %w", out.Link.ID, err)
	}
	return nil
}

// close closes a Writer in one of the ways to do it. A child that has nothing else to do may leave it to gipc, which does so
// at its end.
func (p *chaosProcess) close(out *chaosOut, rng *rand.Rand) error {
	switch rng.IntN(3) {
	case 0:
		if p.ID != 0 && len(p.In)+len(p.Out) == 1 {
			return nil
		}
	case 1:
		if err := out.end().TryClose(); !errors.Is(err, ErrLocked) {
			return err
		}
	}
	return out.end().Close()
}

// putSome puts one or some messages in one of the ways to do it.
func (p *chaosProcess) putSome(ctx context.Context, out *chaosOut, lane int, rng *rand.Rand) error {
	entry := &p.ledger.links[out.Link.ID]
	few, cancel := someCtx(ctx, rng)
	defer cancel()
	var err error
	switch kind := rng.IntN(12); {
	case kind == 0 && out.Typed != nil:
		err = p.sendChan(few, out, lane, rng)
	default:
		err = out.put(few, out.Link.message(lane, out.At[lane]))
		if err == nil || errors.Is(err, ErrPartial) {
			out.At[lane]++
		}
		if err == nil && out.Link.Buffer == 0 {
			entry.accepted.Add(1) // and, of one lane, those that were partial before
		}
	}
	if err == nil && rng.IntN(10) == 0 {
		before := out.At[lane]
		if err = out.end().Flush(few); err == nil && out.Link.Lanes == 1 {
			entry.accepted.Store(int64(before))
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isOfCtx(err):
		p.ledger.note("call cancelled")
		err = nil
	}
	return errors.Join(err, p.step())
}

// sendChan sends by a native channel until its ctx ends.
func (p *chaosProcess) sendChan(ctx context.Context, out *chaosOut, lane int, rng *rand.Rand) error {
	msgs, errs := out.Typed.Chan(ctx)
	for range rng.IntN(10) {
		if out.At[lane] == out.Link.N {
			break
		}
		select {
		case msgs <- out.Link.message(lane, out.At[lane]):
			out.At[lane]++
		case err := <-errs:
			return err
		}
	}
	close(msgs)
	return <-errs
}

func (p *chaosProcess) noteIf(is bool, fault string) {
	if is {
		p.ledger.note(fault)
	}
}

// someTime returns one of n times, but -1 in all but one of so many cases.
func someTime(rng *rand.Rand, cases, n int) int {
	at := rng.IntN(n + 1)
	if rng.IntN(cases) > 0 {
		return -1
	}
	return at
}

// someCtx returns a ctx that may end soon.
func someCtx(ctx context.Context, rng *rand.Rand) (context.Context, context.CancelFunc) {
	if rng.IntN(3) > 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Duration(rng.IntN(1000))*time.Microsecond)
}

func isOfCtx(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// step counts a message, and ends this process if that is planned.
func (p *chaosProcess) step() error {
	if p.Plan == "" || p.Plan == "error" || p.messages.Add(1) != int64(p.After) {
		return nil
	}
	p.ledger.note("plan " + p.Plan)
	switch p.Plan {
	case "panic":
		panic("planned panic")
	case "exit":
		os.Exit(7)
	case "die":
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {}
	case "memory":
		return exhaustMemory()
	}
	return nil
}

// exhaustMemory goes on until the runtime finds none: with a limit below what is in use, that is soon.
func exhaustMemory() error {
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		return err
	}
	debug.SetGCPercent(-1) // the collector crashes in other ways, of its own
	for kept := [][]byte{}; ; {
		kept = append(kept, make([]byte, 1<<20))
		clear(kept[len(kept)-1])
	}
}
