package gipc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	addDeed("eat memory", func(ctx context.Context, a deedArgs) error {
		var kept [][]byte
		for len(kept) < a.N {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			kept = append(kept, b)
		}
		return a.Out.Put(ctx, fmt.Sprint(len(kept), " MiB, soft limit ", debug.SetMemoryLimit(-1)))
	})
	addDeed("eat memory at once", func(ctx context.Context, a deedArgs) error {
		_, err := rand.Read(make([]byte, a.N)) // which the compiler can't leave out
		return err
	})
}

// limited is how a child ends that does something under limits.
func limited(t *testing.T, do deedArgs, opts SpawnOptions) *ExitError {
	t.Helper()
	err := spawnIt(t, entryDeed, do, &opts).Wait(test.Context(t))
	var e *ExitError
	if !errors.As(err, &e) {
		t.Fatalf("it ended with %v", err)
	}
	return e
}

// answer is what a child says that does something under limits.
func answer(t *testing.T, do deedArgs, opts SpawnOptions) string {
	t.Helper()
	r, w := stringPipe(t)
	do.Out = w
	p := spawnIt(t, entryDeed, do, &opts)
	got := get(t, test.Context(t), r)
	if do.In == nil { // else it waits for an order
		test.Check(t, p.Wait(test.Context(t)))
	}
	return got
}

func TestLimitsNegativeIsRefused(t *testing.T) {
	for _, limits := range []Limits{{Memory: -1}, {CPU: -1}, {Files: -1}, {Processes: -1}, {FileSize: -1}} {
		_, err := Spawn(test.Context(t), entryDeed, deedArgs{Do: "nothing"}, &SpawnOptions{Limits: &limits})
		if err == nil || !strings.Contains(err.Error(), "negative") {
			t.Errorf("%+v: %v", limits, err)
		}
	}
}

func TestLimitsOfZeroBoundNothing(t *testing.T) {
	opts := SpawnOptions{Limits: &Limits{}}
	test.Equal(t, answer(t, deedArgs{Do: "say", Text: "hello"}, opts), "hello")
	if e := limited(t, deedArgs{Do: "no such deed"}, opts); e.Limit != "" || e.Err == nil {
		t.Errorf("limit %q: %v", e.Limit, e)
	}
}
