//go:build unix

package gipc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

var leakChildren = flag.Int("leak.children", 1000, "how many children TestNothingIsLeftOfAThousandChildren starts")

// No cycle of a child's life leaves a descriptor, a goroutine, a thread or a zombie behind, whatever way it ends.
func TestNothingIsLeftOfAThousandChildren(t *testing.T) {
	ctx := test.Context(t)
	cycles := *leakChildren
	if testing.Short() {
		cycles = min(cycles, 150)
	}
	test.Check(t, spawnIt(t, entryDeed, deedArgs{Do: "nothing"}, nil).Wait(ctx)) // what is made once is there now
	before, goroutines, threads := test.OpenDescriptors(t), runtime.NumGoroutine(), threadsMade()

	const lanes = 4
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(lane), 1))
			for i := range cycles / lanes {
				if err := oneLife(ctx, i, random); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()

	if after := test.OpenDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	test.Eventually(t, "all goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	more := threadsMade() - threads
	t.Logf("%d children: %d more threads", cycles, more)
	if more > 20 {
		t.Errorf("%d more threads", more)
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("there is a child left: %v, %v", pid, err)
	}
}

// threadsMade is how many threads Go's runtime has made; it keeps most of them.
func threadsMade() int { return pprof.Lookup("threadcreate").Count() }

// oneLife starts a child, talks to it, and lets it end: by itself, in a crash, or killed at some moment.
func oneLife(ctx context.Context, i int, random *rand.Rand) error {
	in, order, err := Pipe(inMemory[string](nil))
	if err != nil {
		return err
	}
	defer order.CloseNow()
	p, err := Spawn(ctx, entryDeed, deedArgs{Do: "await order", In: in}, &SpawnOptions{
		Stdin: strings.NewReader("x"), Stdout: io.Discard, Stderr: io.Discard, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return errors.Join(err, in.Close())
	}
	switch i % 3 {
	case 0:
		err = order.Put(ctx, "nil")
	case 1:
		err = order.Put(ctx, "panic")
	case 2:
		timer := time.NewTimer(time.Duration(random.IntN(2000)) * time.Microsecond)
		defer timer.Stop()
		<-timer.C
		err = p.Kill()
	}
	var exit *ExitError
	if end := p.Wait(ctx); err == nil && (end == nil) != (i%3 == 0) || end != nil && !errors.As(end, &exit) {
		return fmt.Errorf("life %d: %w", i, end)
	}
	return err
}
