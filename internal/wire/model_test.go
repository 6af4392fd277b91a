package wire

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// A random check of both halves against what they promise: producers and consumers with calls of every kind, contexts that
// end at any time, moves that are abandoned, and ends that are closed in every way, over every kind of stream. Each message
// that was accepted arrives exactly once and in order, or its loss is reported; every call returns.

var (
	modelTime = flag.Duration("model.time", 2*time.Second, "how long TestModel runs")
	modelSeed = flag.Uint64("model.seed", 0, "the one seed that TestModel runs with; 0: many")
)

// modelStreams are those of the other tests, and some that misbehave.
var modelStreams = append([]byteStream{
	{"multiplexed", 0, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		a, b := net.Pipe()
		return multiplexed{a}, multiplexed{b}
	}},
	{"short reads, no deadlines", 0, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		r, w := io.Pipe()
		return struct {
			io.Reader
			io.Closer
		}{readerFunc(func(p []byte) (int, error) { return r.Read(p[:min(len(p), 7)]) }), r}, w
	}},
	{"Close that waits", 0, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		a, b := net.Pipe()
		return locked{a, new(sync.Mutex)}, locked{b, new(sync.Mutex)}
	}},
	{"interrupted system calls", 0, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		a, b := net.Pipe()
		return &signalledConn{a, &signalled{ReadWriteCloser: a}}, &signalledConn{b, &signalled{ReadWriteCloser: b}}
	}},
	{"interrupted system calls, no deadlines", 0, func(t testing.TB) (io.ReadCloser, io.WriteCloser) {
		a, b := net.Pipe()
		return &signalled{ReadWriteCloser: a}, &signalled{ReadWriteCloser: b}
	}},
	{"TLS", 0, func(t testing.TB) (io.ReadCloser, io.WriteCloser) { return openTLS(t) }},
}, byteStreams...)

func TestModel(t *testing.T) {
	if *modelSeed != 0 {
		playModel(t, *modelSeed)
		return
	}
	rounds := 0
	for end := time.Now().Add(*modelTime); time.Now().Before(end) && !t.Failed(); rounds++ {
		playModel(t, rand.Uint64())
	}
	t.Logf("%d rounds", rounds)
}

// endings are the ways that a round may end.
const (
	inOrder     = iota // Close, when all producers are done
	closeEarly         // Close, while they put
	tryClose           // TryClose, until it works
	closeNow           // CloseNow, while they put
	readerGone         // the Reader's Close, while they put
	endingCount        //
)

type modelRound struct {
	t      *testing.T
	seed   uint64
	r      *reader
	w      *writer
	ending int
	tally  test.Tally

	mu      sync.Mutex
	sent    map[[2]int]error // what became of each call: producer and number
	flushed map[int]int      // by producer: all that it had put below this number was in the stream
	stopped atomic.Bool      // the end is near: fewer surprises
}

func playModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	kind := modelStreams[rng.IntN(len(modelStreams))]
	opts := &options{EndMark: rng.IntN(2) == 0, Buffer: []int{0, 0, 200, 10_000}[rng.IntN(4)]}
	m := &modelRound{t: t, seed: seed, ending: rng.IntN(endingCount), sent: map[[2]int]error{}, flushed: map[int]int{}}
	name := fmt.Sprintf("-model.seed=%d (%s, %+v, ending %d)", seed, kind.name, *opts, m.ending)
	timer := time.AfterFunc(test.Patience, func() {
		stacks := make([]byte, 1<<20)
		panic(fmt.Sprintf("%s hangs:\n%s", name, stacks[:runtime.Stack(stacks, true)]))
	})
	defer timer.Stop()
	rs, ws := kind.open(t)
	m.r, m.w = newReader(rs, opts), newWriter(ws, opts)

	var producers, consumers, movers sync.WaitGroup
	for p := range 1 + rng.IntN(4) {
		producers.Go(func() { m.produce(p, rand.New(rand.NewPCG(seed, uint64(10+p)))) })
	}
	ends := make(chan error, 3)
	several := rng.IntN(3) // what one's native channel gives back, another may get behind later messages
	for c := range 1 + several {
		consumers.Go(func() { ends <- m.consume(rand.New(rand.NewPCG(seed, uint64(20+c))), several == 0) })
	}
	movers.Go(func() { m.move(rand.New(rand.NewPCG(seed, 30))) })

	if m.ending == inOrder || m.ending == tryClose {
		producers.Wait()
	} else {
		for range rng.IntN(2000) {
			runtime.Gosched()
		}
	}
	err := m.end()
	m.stopped.Store(true)
	producers.Wait()
	movers.Wait()
	if m.ending == readerGone {
		_ = m.w.CloseNow() // the Writer may have told of its loss
	}
	consumers.Wait()
	_ = m.r.Close()
	close(ends)
	if problem := m.check(err, ends, opts.EndMark); problem != "" {
		t.Errorf("%s: %s", name, problem)
	} else if t.Failed() {
		t.Error(name)
	}
}

func (m *modelRound) produce(p int, rng *rand.Rand) {
	for seq := range 5 + rng.IntN(60) {
		size := rng.IntN(300)
		if rng.IntN(12) == 0 {
			size = rng.IntN(300_000)
		}
		message := test.Stamped(p, seq, size)
		ctx, cancel := m.someCtx(rng)
		var err error
		if rng.IntN(6) == 0 {
			err = m.putByChan(ctx, message)
		} else {
			err = m.w.Put(ctx, message)
			clear(message) // the caller's again
		}
		cancel()
		m.mu.Lock()
		m.sent[[2]int{p, seq}] = err
		m.mu.Unlock()
		if rng.IntN(15) == 0 {
			m.flush(p, seq, rng)
		}
		if err != nil && !isCtxError(err) {
			return
		}
	}
}

// flush flushes what a producer has put, up to seq.
func (m *modelRound) flush(p, seq int, rng *rand.Rand) {
	ctx, cancel := m.someCtx(rng)
	defer cancel()
	switch err := m.w.Flush(ctx); {
	case err == nil:
		m.mu.Lock()
		m.flushed[p] = seq + 1
		m.mu.Unlock()
	case m.ending <= tryClose && !isCtxError(err) && !errors.Is(err, ErrClosed):
		m.t.Errorf("Flush: %v", err)
	}
}

// Whether a native channel has taken the message, though it ended with an error.
var (
	errNotTaken = errors.New("not taken")
	errTaken    = errors.New("taken")
)

func (m *modelRound) putByChan(ctx context.Context, message []byte) error {
	msgs, errs := m.w.Chan(ctx)
	select {
	case msgs <- message:
		close(msgs)
		if err := <-errs; err != nil && !isCtxError(err) {
			return fmt.Errorf("%w: %w", errTaken, err)
		}
		return nil // it was taken, and so is sent
	case err := <-errs:
		return fmt.Errorf("%w: %w", errNotTaken, err)
	}
}

func (m *modelRound) consume(rng *rand.Rand, native bool) error {
	note := m.tally.Consumer(m.t)
	var buf []byte
	for {
		ctx, cancel := m.someCtx(rng)
		var err error
		if native && rng.IntN(8) == 0 {
			err = getByChan(ctx, m.r, &buf)
		} else {
			err = m.r.GetInto(ctx, &buf)
		}
		cancel()
		switch {
		case err == nil:
			note(buf)
		case !isCtxError(err):
			return err
		}
		if rng.IntN(3) == 0 {
			buf = nil
		}
	}
}

// move begins moves of both halves and abandons them.
func (m *modelRound) move(rng *rand.Rand) {
	for !m.stopped.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		if rng.IntN(2) == 0 {
			if m.w.out.BeginMove(ctx) == nil {
				runtime.Gosched()
				m.w.out.AbandonMove()
			}
		} else if m.r.in.BeginMove(ctx) == nil {
			_ = m.r.in.State()
			m.r.in.AbandonMove()
		}
		cancel()
		for range rng.IntN(100) {
			runtime.Gosched()
		}
	}
}

func (m *modelRound) end() error {
	switch m.ending {
	case closeNow:
		return m.w.CloseNow()
	case readerGone:
		return m.r.Close()
	case tryClose:
		for {
			if err := m.w.TryClose(); !errors.Is(err, ErrLocked) {
				return err
			}
			runtime.Gosched()
		}
	}
	return m.w.Close()
}

// someCtx returns a ctx that may end at any time, or never.
func (m *modelRound) someCtx(rng *rand.Rand) (context.Context, context.CancelFunc) {
	switch rng.IntN(5) {
	case 0:
		return context.WithTimeout(context.Background(), time.Duration(rng.IntN(500))*time.Microsecond)
	case 1:
		ctx, cancel := context.WithCancel(context.Background())
		steps := rng.IntN(30)
		go func() {
			for range steps {
				runtime.Gosched()
			}
			cancel()
		}()
		return ctx, cancel
	}
	return context.Background(), func() {}
}

// check compares what arrived with what the calls said.
func (m *modelRound) check(ended error, ends <-chan error, marked bool) string {
	orderly := m.ending <= tryClose
	if orderly && ended != nil {
		return fmt.Sprint("it was closed with: ", ended)
	}
	for err := range ends {
		switch {
		case orderly && err != io.EOF:
			return fmt.Sprint("the stream ended with: ", err)
		case m.ending == closeNow && marked && !errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Sprint("a stream that was cut ended with: ", err)
		case m.ending == readerGone && err != ErrClosed:
			return fmt.Sprint("a Reader that was closed said: ", err)
		}
	}
	accepted := 0
	for id, err := range m.sent {
		came := m.tally.Has(id[0], id[1])
		if came {
			accepted++
		}
		switch {
		case err == nil && !came && id[1] < m.flushed[id[0]] && m.ending != readerGone:
			return fmt.Sprintf("message %v is lost, though it was flushed", id)
		case errors.Is(err, errNotTaken) && came:
			return fmt.Sprintf("message %v came, though no channel had taken it", id)
		case isCtxError(err) && !errors.Is(err, ErrPartial) && came:
			return fmt.Sprintf("message %v came, though its Put was cancelled: %v", id, err)
		case orderly && !came && (err == nil || errors.Is(err, ErrPartial) || errors.Is(err, errTaken)):
			return fmt.Sprintf("message %v is lost: %v", id, err)
		case orderly && came && errors.Is(err, ErrClosed) && !errors.Is(err, errTaken):
			return fmt.Sprintf("message %v came, though its Put was refused", id)
		}
	}
	if came := m.tally.Len(); came != accepted {
		return fmt.Sprintf("%d messages came that nobody had sent", came-accepted)
	}
	return ""
}
