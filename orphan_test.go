package gipc

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/proc"
	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	// Starts a line of N descendants, each of which holds File and waits in the way of Text.
	addDeed("generations", func(ctx context.Context, a deedArgs) error {
		if a.N == 0 {
			return deeds[a.Text](ctx, a)
		}
		a.N--
		mine, err := test.DupFile(a.File)
		if err != nil {
			return err
		}
		defer mine.Close()
		wait := a.Text
		if _, err := Spawn(ctx, entryDeed, a, &SpawnOptions{Grace: time.Second}); err != nil {
			return err
		}
		return deeds[wait](ctx, deedArgs{})
	})
	// A process of its group holds its stderr, too.
	addDeed("start a stranger", func(ctx context.Context, a deedArgs) error {
		cmd := test.Stranger()
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		return deeds["ignore ctx"](ctx, a)
	})
	// A parent to be killed: it starts a child, which has its stderr, and waits.
	addDeed("parent", func(ctx context.Context, a deedArgs) error {
		do, where, _ := strings.Cut(a.Text, "@")
		opts := &SpawnOptions{Grace: time.Duration(a.N) * time.Millisecond}
		if where != "" { // the child says "up" on stderr, and never becomes ready
			opts.Env = withInit(where)
		}
		if _, err := Spawn(ctx, entryDeed, deedArgs{Do: do, Out: a.Out}, opts); err != nil {
			return err
		}
		select {}
	})
}

// Every process of a tree holds a pipe open: its end tells that all are gone. The parent is killed, so that nobody but the
// orphan rule can end them.
func TestNoOrphanOutlivesItsParentByMoreThanTheGrace(t *testing.T) {
	t.Parallel() // most of it is waiting
	for _, c := range []struct{ name, text string }{
		{"child waits for ctx", "await ctx"},
		{"child waits for nothing", "ignore ctx"},
		{"child sits in a busy loop", "spin"},
		{"child ignores SIGTERM", "ignore SIGTERM"},
		{"child has started another program", "start a stranger"},
		{"child is blocked in an init function", "nothing@up and block"},
		{"child is busy in an init function", "nothing@up and spin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			needsDeed(t, c.text)
			p, file := parentOf(t, c.text, 200*time.Millisecond)
			test.Check(t, p.Signal(os.Kill)) // not its group
			allGone(t, file)
		})
	}
}

// needsDeed skips a test of a child that does something with signals where there are none. docs/platforms.md lists them.
func needsDeed(t *testing.T, text string) {
	t.Helper()
	if do, _, _ := strings.Cut(text, "@"); onWindows && deeds[do] == nil {
		t.Skip("there are no signals on Windows")
	}
}

func TestNoGenerationOutlivesTheFirst(t *testing.T) {
	t.Parallel() // most of it is waiting
	for _, wait := range []string{"await ctx", "ignore ctx", "spin"} {
		t.Run(wait, func(t *testing.T) {
			t.Parallel()
			ctx := test.Context(t)
			file, fileW, err := fd.NewOutputPipe()
			test.Check(t, err)
			defer file.Close()
			r, w := stringPipe(t)
			p := spawnIt(t, entryDeed, deedArgs{Do: "generations", Text: wait, N: 3, File: fileW, Out: w}, nil)
			if got := get(t, ctx, r); got != "up" { // says the last one
				t.Fatal(got)
			}
			test.Check(t, p.Signal(os.Kill))
			allGone(t, file)
		})
	}
}

var orphanTimes = flag.Int("orphan.times", 10, "how often TestNoDescendantOutlivesAParentKilledAtAnyMoment kills one")

// It may be starting a child at that moment, or the child one of its own.
func TestNoDescendantOutlivesAParentKilledAtAnyMoment(t *testing.T) {
	test.SkipUnderWine(t, "where a parent is killed while it starts a child, something goes on holding its pipes")
	t.Parallel() // most of it is waiting
	waits := []string{"await ctx", "ignore ctx", "spin"}
	const lanes = 5
	longest := make(chan time.Duration, lanes)
	for lane := range lanes {
		go func() {
			random := rand.New(rand.NewPCG(uint64(lane), 3))
			var most time.Duration
			for i := range *orphanTimes / lanes {
				most = max(most, killAtAnyMoment(t, waits[(lane+i)%len(waits)], random))
			}
			longest <- most
		}()
	}
	var most time.Duration
	for range lanes {
		most = max(most, <-longest)
	}
	t.Logf("the last descendant was gone after %v", most.Round(time.Millisecond))
}

// killAtAnyMoment returns how long it took until the last descendant was gone.
func killAtAnyMoment(t *testing.T, wait string, random *rand.Rand) (took time.Duration) {
	const grace = time.Second // as "generations" has it
	file, fileW, err := fd.NewOutputPipe()
	if err != nil {
		t.Error(err)
		return 0
	}
	defer file.Close()
	r, w, err := Pipe(inMemory[string](nil))
	if err != nil {
		t.Error(err)
		return 0
	}
	defer r.Close()
	p, err := Spawn(context.Background(), entryDeed, deedArgs{Do: "generations", Text: wait, N: 3, File: fileW, Out: w}, nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	time.Sleep(time.Duration(random.IntN(100_000)) * time.Microsecond)
	_ = p.Signal(os.Kill) // it waits, or starts others
	began := time.Now()
	allGone(t, file)
	if took = time.Since(began); took > grace+5*time.Second {
		t.Errorf("gone after %v", took)
	}
	return took
}

// parentOf starts a parent of a child that waits as told. Both hold the pipe whose other end is returned.
func parentOf(t *testing.T, wait string, grace time.Duration) (*Process, fd.End) {
	t.Helper()
	ctx := test.Context(t)
	file, fileW, err := fd.NewOutputPipe()
	test.Check(t, err)
	t.Cleanup(func() { file.Close() })
	a := deedArgs{Do: "parent", Text: wait, N: int(grace / time.Millisecond)}
	if _, inInit, _ := strings.Cut(wait, "@"); inInit == "" {
		var r *Reader[string]
		r, a.Out = stringPipe(t)
		defer func() {
			if got := get(t, ctx, r); got != "up" {
				t.Fatal(got)
			}
		}()
	} else {
		defer func() {
			test.Check(t, file.SetReadDeadline(time.Now().Add(30*time.Second)))
			_, err := io.ReadFull(file, make([]byte, len("up")))
			test.Check(t, err)
		}()
	}
	p := spawnIt(t, entryDeed, a, &SpawnOptions{Stderr: fileW})
	test.Check(t, fileW.Close())
	return p, file
}

// What a process spawns whose parent is gone is stopped at once, but not before it has been told what to do.
func TestSpawnByAnOrphanIsToldAllBeforeItIsStopped(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "spawn as an orphan", Out: w}, nil)
	if got := get(t, ctx, r); got != "<nil>" {
		t.Error(got)
	}
	test.Check(t, p.Wait(ctx))
}

func init() {
	addDeed("spawn as an orphan", func(ctx context.Context, a deedArgs) error {
		proc.Orphan()
		_, w, err := Pipe[string](nil)
		if err != nil {
			return err
		}
		many := slices.Repeat([]*Writer[string]{w}, 100_000) // what says where they stand doesn't fit into a pipe
		p, err := Spawn(ctx, entryDeed, deedArgs{Do: "await ctx, well", Rest: many}, nil)
		if err == nil {
			err = p.Wait(ctx)
		}
		return a.Out.Put(ctx, fmt.Sprint(err))
	})
}

// A child whose parent is gone ends at the end of the grace, and not before.
func TestOrphanHasItsGrace(t *testing.T) {
	t.Parallel() // most of it is waiting
	const grace = time.Second
	p, file := parentOf(t, "ignore ctx", grace)
	began := time.Now()
	test.Check(t, p.Signal(os.Kill))
	allGone(t, file)
	if took := time.Since(began); took < grace {
		t.Errorf("gone after %v", took)
	}
}
