package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// whoAmI is resolved in the process that logs it.
type whoAmI struct{}

func (whoAmI) LogValue() slog.Value { return slog.IntValue(os.Getpid()) }

// logged is how a record of the tests of one child is numbered.
const logged = "record %d of those that are made before the end"

func init() {
	addDeed("log", func(ctx context.Context, a deedArgs) error {
		slog.Debug("debug", "enabled", slog.Default().Enabled(ctx, slog.LevelDebug-1))
		slog.With("a", 1).WithGroup("g").Warn("grouped", "b", 2, slog.Group("h", "who", whoAmI{}))
		log.Print("by package log")
		return nil
	})
	addDeed("log much", func(ctx context.Context, a deedArgs) error {
		padding := strings.Repeat("x", 200)
		for i := range a.N {
			slog.Info(fmt.Sprintf(logged, i), "p", padding)
		}
		for inheritance.log != nil && !inheritance.log.Flush() { // what was dropped is counted: the test sees it, and tries again
		}
		if a.Out != nil {
			if err := a.Out.Put(ctx, "logged"); err != nil {
				return err
			}
			<-ctx.Done()
		}
		return endings[a.Text]()
	})
	addDeed("log through", func(ctx context.Context, a deedArgs) error {
		p, err := Spawn(ctx, entryDeed, deedArgs{Do: "log"}, &SpawnOptions{Name: "grandchild", Logger: slog.Default()})
		if err != nil {
			return err
		}
		return p.Wait(ctx)
	})
}

// manyRecords is n, or less under Wine, where each takes a millisecond.
func manyRecords(n int) int {
	if test.UnderWine() {
		return n / 20
	}
	return n
}

// notes is a handler that keeps what it gets.
type notes struct {
	slog.Level
	mu      sync.Mutex
	records []slog.Record
	attrs   []slog.Attr
	handle  func(slog.Record) // called before it keeps one; may be nil
}

func (n *notes) Enabled(_ context.Context, l slog.Level) bool { return l >= n.Level }
func (n *notes) WithGroup(string) slog.Handler                { panic("nobody calls it") }

func (n *notes) WithAttrs(attrs []slog.Attr) slog.Handler {
	n.attrs = append(n.attrs, attrs...)
	return n
}

func (n *notes) Handle(_ context.Context, r slog.Record) error {
	if n.handle != nil {
		n.handle(r)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records = append(n.records, r)
	return nil
}

// numbers returns the numbers of the records that have one, and how many others were dropped.
func (n *notes) numbers() (numbers []int, dropped int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.records {
		var i int
		if _, err := fmt.Sscanf(r.Message, logged, &i); err == nil {
			numbers = append(numbers, i)
		}
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "dropped" {
				dropped += int(a.Value.Int64())
			}
			return true
		})
	}
	return numbers, dropped
}

func TestLogOfAChildGoesToTheLogger(t *testing.T) {
	ctx := test.Context(t)
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := spawnIt(t, entryDeed, deedArgs{Do: "log"}, &SpawnOptions{Name: "writer", Logger: logger.With("service", "s")})
	test.Check(t, p.Wait(ctx))
	who := fmt.Sprintf(" service=s child=writer pid=%d ", p.PID())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), out.String())
	}
	for i, want := range [][]string{
		{"level=DEBUG msg=debug" + who, "log_test.go:", " enabled=false"}, // what is lower stays in the child
		{"level=WARN msg=grouped" + who, "log_test.go:", fmt.Sprintf(" a=1 g.b=2 g.h.who=%d", p.PID())},
		{"level=INFO msg=\"by package log\"" + who[:len(who)-1]},
	} {
		for _, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("%q is not in %s", part, lines[i])
			}
		}
	}
}

func TestLogOfAGrandchildGoesThroughTheChild(t *testing.T) {
	ctx := test.Context(t)
	n := &notes{}
	p := spawnIt(t, entryDeed, deedArgs{Do: "log through"}, &SpawnOptions{Name: "child", Logger: slog.New(n)})
	test.Check(t, p.Wait(ctx))
	if len(n.records) != 2 || fmt.Sprint(n.attrs) != fmt.Sprintf("[child=child pid=%d]", p.PID()) {
		t.Fatal(n.records, n.attrs)
	}
	var names []string
	n.records[0].Attrs(func(a slog.Attr) bool { names = append(names, a.String()); return true })
	if !slices.Contains(names, "child=grandchild") {
		t.Error(names)
	}
}

// However a child ends, what it had logged before arrives, in order, before Wait returns.
func TestLogBeforeAnEndArrives(t *testing.T) {
	records := manyRecords(test.Scaled(10_000))
	for _, how := range []string{"panic", "panic goroutine", "fatal map", "exit 3", "exit 0", "error", "nil", "killed", "stopped"} {
		t.Run(how, func(t *testing.T) {
			for ctx := test.Context(t); ctx.Err() == nil; {
				n := &notes{}
				args := deedArgs{Do: "log much", N: records, Text: how}
				opts := &SpawnOptions{Logger: slog.New(n), Stderr: io.Discard}
				if how == "killed" || how == "stopped" {
					args.Text = "nil"
					endHalfway(t, ctx, args, opts, how)
				} else {
					_ = spawnIt(t, entryDeed, args, opts).Wait(ctx)
				}
				numbers, _ := n.numbers()
				var dropped int
				test.Eventually(t, "all are counted", func() bool {
					arrived, d := n.numbers()
					dropped = d
					return len(arrived)+dropped == records
				})
				if dropped > 0 { // this process had no time to read for 10 ms, or none to pass all on within 2 s
					continue
				}
				if len(numbers) != records || !slices.IsSorted(numbers) || numbers[records-1] != records-1 {
					t.Fatalf("%d records arrived", len(numbers))
				}
				return
			}
			t.Error("the machine is too busy: records were dropped each time")
		})
	}
}

// endHalfway ends a child when it has logged.
func endHalfway(t *testing.T, ctx context.Context, args deedArgs, opts *SpawnOptions, how string) {
	t.Helper()
	r, w := stringPipe(t)
	args.Out = w
	p := spawnIt(t, entryDeed, args, opts)
	get(t, ctx, r)
	if how == "stopped" {
		test.Check(t, p.Stop(ctx))
		return
	}
	test.Check(t, p.Kill())
	<-p.Done()
}

func TestLogHandlerThatBlocksHoldsUpNobody(t *testing.T) {
	ctx := test.Context(t)
	gate := make(chan struct{})
	n := &notes{handle: func(slog.Record) { <-gate }}
	records := manyRecords(40_000) // some 17 MB
	p := spawnIt(t, entryDeed, deedArgs{Do: "log much", N: records, Text: "nil"}, &SpawnOptions{Logger: slog.New(n)})
	select {
	case <-p.child.Exited(): // though nobody takes the records
	case <-ctx.Done():
		t.Fatal("the child waits for the handler")
	}
	began := time.Now()
	test.Check(t, p.Wait(ctx))
	if took := time.Since(began); took < time.Second || took > 4*time.Second {
		t.Errorf("Wait took %v", took)
	}
	close(gate)
	test.Eventually(t, "the handler is told what was dropped", func() bool {
		numbers, dropped := n.numbers()
		return len(numbers)+dropped == records
	})
}

func TestLogWaitReturnsAfterTheLastRecord(t *testing.T) {
	ctx := test.Context(t)
	n := &notes{handle: func(slog.Record) { time.Sleep(time.Millisecond) }}
	p := spawnIt(t, entryDeed, deedArgs{Do: "log much", N: 100, Text: "nil"}, &SpawnOptions{Logger: slog.New(n)})
	test.Check(t, p.Wait(ctx))
	numbers, _ := n.numbers()
	test.Equal(t, len(numbers), 100)
}

func TestLogHandlerThatPanicsIsTheErrorOfWait(t *testing.T) {
	ctx := test.Context(t)
	n := &notes{handle: func(r slog.Record) {
		if strings.HasPrefix(r.Message, "record 1 ") {
			panic("no ink")
		}
	}}
	p := spawnIt(t, entryDeed, deedArgs{Do: "log much", N: 3, Text: "nil"}, &SpawnOptions{Logger: slog.New(n)})
	err := p.Wait(ctx)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 0 || !strings.Contains(err.Error(), "SpawnOptions.Logger panicked: no ink") {
		t.Error(err)
	}
	if numbers, _ := n.numbers(); !slices.Equal(numbers, []int{0, 2}) {
		t.Error(numbers)
	}
}

// asked is a handler whose Enabled panics.
type asked struct{ *notes }

func (asked) Enabled(context.Context, slog.Level) bool { panic("don't ask") }

func TestLogHandlerThatPanicsInSpawnMovesNothing(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	test.Panics(t, func() {
		_, _ = Spawn(ctx, entryDeed, deedArgs{Do: "say", Out: w}, &SpawnOptions{Logger: slog.New(asked{&notes{}})})
	})
	read := test.Started(func() string { v, _ := r.Get(ctx); return v })
	test.Check(t, w.Put(ctx, "still here"))
	test.Equal(t, <-read, "still here")
}
