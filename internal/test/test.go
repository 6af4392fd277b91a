// Package test has what the tests of several packages share. It is for tests alone and knows nothing of gipc.
package test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"
)

// Patience is how long anything may take before it counts as hanging.
var Patience = patience()

func patience() time.Duration {
	if UnderQEMU() {
		return 10 * time.Minute
	}
	return time.Minute
}

// Bounded ends the run, with the stacks of all goroutines, if the test hangs. Tests themselves wait without a limit.
func Bounded(t testing.TB) {
	t.Helper()
	timer := time.AfterFunc(Patience, func() {
		stacks := make([]byte, 1<<20)
		panic(fmt.Sprintf("%s hangs:\n%s", t.Name(), stacks[:runtime.Stack(stacks, true)]))
	})
	t.Cleanup(func() { timer.Stop() })
}

// Eventually waits for what another goroutine is about to do. It looks less often the longer that takes, because others need the
// processor.
func Eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for began := time.Now(); !happened(); {
		switch waited := time.Since(began); {
		case waited > Patience/2:
			t.Fatalf("never: %s", what)
		case waited < time.Millisecond:
			runtime.Gosched()
		default:
			time.Sleep(min(waited/16, 10*time.Millisecond))
		}
	}
}

// Check fails the test unless err is nil.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Is fails the test unless err matches all of want; nil matches no error.
func Is(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("error is %v, want %v", err, w)
		}
	}
}

// IsNot fails the test if err matches unwanted.
func IsNot(t testing.TB, err, unwanted error) {
	t.Helper()
	if errors.Is(err, unwanted) {
		t.Fatalf("error %v matches %v", err, unwanted)
	}
}

// Equal fails the test unless got is want.
func Equal[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// Bytes fails the test unless got has the bytes of want.
func Bytes(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes %.20x…, want %d bytes %.20x…", len(got), got, len(want), want)
	}
}

// Panics fails the test unless f panics.
func Panics(t testing.TB, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}

// Started runs f in a goroutine and returns where its result comes out.
func Started[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

// Scaled is how often a test does something n times: less where that is slow or shall be short.
func Scaled(n int) int {
	switch {
	case UnderQEMU():
		return max(1, n/32)
	case testing.Short() || RaceEnabled():
		return max(1, n/8)
	}
	return n
}

// RaceEnabled says whether the race detector is built in.
var RaceEnabled = sync.OnceValue(func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
})

// Prepare is for TestMain, before it runs the tests: tests that run in parallel mostly wait, and Go's poller opens its
// descriptors, which stay, before a test counts any.
func Prepare() {
	_ = flag.Set("test.parallel", "16")
	if r, w, err := os.Pipe(); err == nil {
		_, _ = r.Close(), w.Close()
	}
}

// Context bounds a whole test: nothing may hang.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Allocates returns how many bytes f Allocates. What is above limit is measured again, twice at most: other goroutines, such as
// those of an earlier test that are about to end, allocate too.
func Allocates(limit uint64, f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
		if least <= limit {
			break
		}
	}
	return least
}

// OwnCtx is a ctx of a user's own type: not comparable, and with an error that is made anew each time.
type OwnCtx struct {
	context.Context
	_ []int
}

// Err wraps the error anew each time.
func (c OwnCtx) Err() error {
	if err := c.Context.Err(); err != nil {
		return fmt.Errorf("own ctx: %w", err)
	}
	return nil
}
