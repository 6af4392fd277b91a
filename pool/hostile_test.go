package pool

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// hostile is a worker that obeys its Config, in bytes, instead of the pool.
var hostile = gipc.Register("hostile", func(ctx context.Context, args workerArgs) error {
	how := string(args.Config)
	say := func(message []byte) { _ = args.Tasks.Put(ctx, message) }
	if how == "answers before it is ready" {
		say(head(kindResult, 1))
		<-ctx.Done()
		return nil
	}
	if how == "never reads" {
		_ = args.Tasks.Reader().Close()
		say(head(kindReady, 0))
		<-ctx.Done()
		return nil
	}
	say(head(kindReady, 0))
	first, err := args.Tasks.Get(ctx)
	if err != nil {
		return nil
	}
	_, id, _, _ := parseHead(first)
	switch how {
	case "no head":
		say([]byte{1, 2})
	case "rubbish":
		say([]byte("rubbish, rubbish, rubbish"))
	case "ready again":
		say(head(kindReady, 0))
	case "unknown id":
		say(head(kindResult, id+1))
	case "dropped without being asked":
		say(head(kindDropped, id))
	case "failure that can't be decoded":
		say(append(head(kindFailure, id), 0xff, 0xff))
	case "failure without an error":
		say(failureMessage(id, nil))
	case "failure of decoding without an error":
		b, err := gipc.CBOR[failure]{}.Append(head(kindFailure, id), failure{Err: gipc.AppendRemoteError(nil, nil), About: aboutDecoding})
		if err != nil {
			return err
		}
		say(b)
	case "result that can't be decoded":
		say(append(head(kindResult, id), 0xff, 0xff))
	case "result, then dies":
		say(append(head(kindResult, id), 0xf6))
		killSelf()
	case "result twice":
		say(append(head(kindResult, id), 0xf6))
		say(append(head(kindResult, id), 0xf6))
	case "result twice when it is cancelled":
		var d deed
		if err := (gipc.CBOR[deed]{}).Decode(first[taskHeadSize:], &d); err != nil {
			return err
		}
		announce(d.Path)
		_, _ = args.Tasks.Get(ctx)
		say(append(head(kindResult, id), 0xf6))
		say(append(head(kindResult, id), 0xf6))
	case "result above the limit":
		say(append(head(kindResult, id), make([]byte, args.MaxResult+1)...))
	case "flood":
		for ctx.Err() == nil {
			say(head(kindWorn, 0))
		}
	case "closes its channel":
		_ = args.Tasks.CloseNow()
	case "closes its reading end":
		_ = args.Tasks.Reader().Close()
		say(append(head(kindResult, id), 0xf6))
	case "writes to all descriptors":
		scribble()
	case "half a result":
		var d deed
		if err := (gipc.CBOR[deed]{}).Decode(first[taskHeadSize:], &d); err != nil {
			return err
		}
		frame := append(binary.BigEndian.AppendUint32(nil, 20_000), head(kindResult, id)...)
		writeBehind(args.Tasks, append(frame, make([]byte, 10_000)...))
		announce(d.Path)
	}
	<-ctx.Done()
	return nil
})

func scribble() {
	for fd := uintptr(3); fd < 20; fd++ {
		if f := os.NewFile(fd, "any"); f != nil {
			_, _ = f.WriteString("\xff\xff\xff\xfe rubbish")
			runtime.KeepAlive(f)
			noFinalizer = append(noFinalizer, f)
		}
	}
}

// writeBehind writes to the stream of a channel what no call of it would.
func writeBehind(channel *gipc.Duplex[[]byte, []byte], b []byte) {
	var fd uintptr
	_, number, _ := strings.Cut(channel.Writer().String(), "(fd ")
	if _, err := fmt.Sscan(strings.TrimSuffix(number, ")"), &fd); err != nil {
		panic(err)
	}
	f := os.NewFile(fd, "stream")
	if _, err := f.Write(b); err != nil {
		panic(err)
	}
	noFinalizer = append(noFinalizer, f)
}

var noFinalizer []*os.File

func newHostile(t *testing.T, how string, opts Options) *Pool[deed, []byte] {
	t.Helper()
	t.TempDir() // removed after the workers, which may write there, are gone
	task := &Task[deed, []byte]{name: "hostile", entry: hostile, config: []byte(how), arg: gipc.CBOR[deed]{}, result: gipc.CBOR[[]byte]{}}
	p, err := New(task, &opts)
	test.Check(t, err)
	t.Cleanup(func() { test.Check(t, p.Close()) })
	return p
}

// Whatever a worker says, the task gets a *WorkerError, and the worker is killed.
func TestHostileWorkerIsKilled(t *testing.T) {
	for _, how := range []string{
		"no head", "rubbish", "ready again", "unknown id", "dropped without being asked",
		"result above the limit", "closes its channel",
	} {
		t.Run(how, func(t *testing.T) {
			rec := &recorder{}
			p := newHostile(t, how, Options{Max: 1, MaxResult: 1000, OnEvent: rec.add})
			_, err := p.Do(test.Context(t), deed{})
			died := as[*WorkerError](t, err)
			rec.await(t, "it is killed", func(e Event) bool { return e.Kind == EventEnded && e.PID == died.PID && e.Reason == ReasonLost })
			if died.Exit.Code == 0 {
				t.Error(died)
			}
		})
	}
}

func TestHostileAnswersAreOfTheTaskAlone(t *testing.T) {
	p := newHostile(t, "result that can't be decoded", Options{Max: 1})
	_, err := p.Do(test.Context(t), deed{})
	as[*TaskError](t, err)
	as[*gipc.DecodeError](t, err)

	for _, how := range []string{"failure that can't be decoded", "failure without an error", "failure of decoding without an error"} {
		p = newHostile(t, how, Options{Max: 1})
		_, err = p.Do(test.Context(t), deed{})
		test.Equal(t, as[*TaskError](t, err).Error() != "", true)
	}

	// What comes while no task is on a worker is read with the next one.
	p = newHostile(t, "result twice", Options{Max: 1})
	_, err = p.Do(test.Context(t), deed{})
	test.Check(t, err)
	_, err = p.Do(test.Context(t), deed{})
	as[*WorkerError](t, err)
}

// A cancelled task's result is nobody's; a second one ends the worker.
func TestHostileAnswersToACancelledTask(t *testing.T) {
	p := newHostile(t, "result twice when it is cancelled", Options{Max: 1})
	ctx, cancel := context.WithCancel(test.Context(t))
	path := filepath.Join(t.TempDir(), "runs")
	result := test.Started(func() error { _, err := p.Do(ctx, deed{Path: path}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	first := anyWorker(p.core)
	cancel()
	test.Is(t, <-result, context.Canceled)
	_, err := p.Do(test.Context(t), deed{})
	test.Equal(t, as[*WorkerError](t, err).PID, first)
	test.Equal(t, int(p.Stats().Lost), 1)
}

func TestHostileStart(t *testing.T) {
	p := newHostile(t, "answers before it is ready", Options{Max: 1})
	_, err := p.Do(test.Context(t), deed{})
	as[*StartError](t, err)
}

// A worker that can't be sent anything any more is found out by the next task, which goes to another one.
func TestWorkerThatDoesNotReadIsReplaced(t *testing.T) {
	p := newHostile(t, "closes its reading end", Options{Max: 1})
	for range 3 {
		_, err := p.Do(test.Context(t), deed{})
		test.Check(t, err)
	}
	if p.Stats().Lost < 2 {
		t.Errorf("%+v", p.Stats())
	}
}

// A task that no worker reads costs so many workers at its first start, and one at each later one.
func TestTaskThatNoWorkerReadsEnds(t *testing.T) {
	for _, retries := range []int{0, 2} {
		p := newHostile(t, "never reads", Options{Max: 1, Retries: retries})
		_, err := p.Do(test.Context(t), deed{})
		test.Equal(t, as[*WorkerError](t, err).Starts, 1+retries)
		test.Equal(t, int(p.Stats().Retried), retries)
	}
}

func TestFloodCostsNoMemory(t *testing.T) {
	if test.RaceEnabled() {
		t.Skip("the race detector lets a sync.Pool forget what it holds")
	}
	p := newHostile(t, "flood", Options{Max: 1})
	ctx, cancel := context.WithCancel(context.Background())
	result := test.Started(func() error { _, err := p.Do(ctx, deed{}); return err })
	test.Eventually(t, "it floods", func() bool { return p.Stats().Running == 1 })
	p.core.mu.Lock()
	channel := p.core.workers[0].channel
	p.core.mu.Unlock()
	received := func() uint64 { return channel.Stats().Received }
	if n := test.Allocates(1<<20, func() {
		from := received()
		test.Eventually(t, "20,000 messages came", func() bool { return received()-from > 20_000 })
	}); n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
	cancel()
	test.Is(t, <-result, context.Canceled)
}
