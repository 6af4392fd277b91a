package gipc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

var sharedKills = flag.Int("shared.kills", 1000, "how many children TestPeersOfSharedMemoryAreKilled kills")

// Peers are killed between any two of their steps. Nothing that was accepted is lost, nobody waits for the dead, and neither
// memory nor descriptors are left.
func TestPeersOfSharedMemoryAreKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*test.Patience)
	defer cancel()
	kills := *sharedKills
	if testing.Short() || test.RaceEnabled() {
		kills = min(kills, 100)
	}
	killedWriter(ctx, t, 0) // what is made once is there now
	mapped, descriptors := sharedMappings(t), test.OpenDescriptors(t)
	t.Run("killing", func(t *testing.T) {
		for lane := range 4 {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for i := lane; i < kills; i += 4 {
					if i%8 < 4 {
						killedWriter(ctx, t, uint64(i))
					} else {
						killedReader(ctx, t, uint64(i))
					}
				}
			})
		}
	})
	test.Equal(t, sharedMappings(t), mapped)
	test.Eventually(t, "all descriptors are closed", func() bool { return test.OpenDescriptors(t) <= descriptors })
}

// sharedMappings counts how often this process maps the memory of a channel.
func sharedMappings(t testing.TB) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	test.Check(t, err)
	return strings.Count(string(maps), "/memfd:gipc")
}

type scribbleArgs struct {
	What string // of scribbles
	Talk *Duplex[string, string]
}

// scribbledMemory is what a half shares, as a hostile process sees it.
type scribbledMemory struct {
	file, bell int
	bytes      []byte
	rng        *rand.Rand
}

// number is one of those in the header.
func (m *scribbledMemory) number() *uint64 {
	return (*uint64)(unsafe.Pointer(&m.bytes[m.rng.IntN(4)*128]))
}

// scribbles are what a hostile process may do to the memory.
var scribbles = map[string]func(m *scribbledMemory){
	"any numbers":    func(m *scribbledMemory) { *m.number() = m.rng.Uint64() >> m.rng.IntN(64) },
	"likely numbers": func(m *scribbledMemory) { *m.number() = *m.number() + uint64(m.rng.IntN(64)) - 32 },
	"flags":          func(m *scribbledMemory) { m.bytes[[]int{128, 384}[m.rng.IntN(2)]] = byte(m.rng.IntN(2)) },
	"contents": func(m *scribbledMemory) {
		m.bytes[pageSize+m.rng.IntN(len(m.bytes)-pageSize)] = byte(m.rng.IntN(3)) // so that many a length is small
	},
	"bells": func(m *scribbledMemory) { _, _ = unix.Write(m.bell, []byte{1, 2, 3}) }, // may be full
	"holes": func(m *scribbledMemory) {
		_ = unix.Fallocate(m.file, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, int64(len(m.bytes)))
	},
}

// entryScribble talks over its ends as it should, and scribbles over their memory at the same time, until it is killed.
var entryScribble = Register("scribble", func(ctx context.Context, a scribbleArgs) error {
	var memory []*scribbledMemory
	for _, stream := range []io.Closer{a.Talk.r.in.Stream(), a.Talk.w.out.Stream()} {
		dups, err := stream.(ringHalf).Duplicate()
		if err != nil {
			return err
		}
		m := &scribbledMemory{file: fd.Number(dups[2]), bell: fd.Number(dups[1]), rng: rand.New(rand.NewPCG(rand.Uint64(), 1))}
		defer runtime.KeepAlive(dups)
		if m.bytes, err = unix.Mmap(m.file, 0, 2*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			return err
		}
		memory = append(memory, m)
	}
	go func() { // either may fail: it is a victim too
		for i := 0; a.Talk.Put(ctx, strings.Repeat("x", i%300)) == nil; i++ {
		}
	}()
	go func() {
		for {
			if _, err := a.Talk.Get(ctx); err != nil && !staysUsable(err) {
				return
			}
		}
	}()
	for i := 0; ; i++ {
		scribbles[a.What](memory[i%2])
		runtime.Gosched()
	}
})

// A child that writes anything into the memory that it shares gets neither a panic, nor a hang, nor much memory out of its
// parent: errors that have a type.
func TestHostileChildScribblesOverSharedMemory(t *testing.T) {
	ctx := test.Context(t)
	if os.Getpagesize() != pageSize {
		t.Skip("the child knows where things are with pages of 4 KiB")
	}
	for what := range scribbles {
		t.Run(what, func(t *testing.T) {
			for range test.Scaled(4) {
				costsLittle(t, func() { scribbledOn(ctx, t, what) })
			}
		})
	}
}

func scribbledOn(ctx context.Context, t *testing.T, what string) {
	opts := &Options[string]{Shared: 1, MaxMessage: 1 << 20}
	mine, theirs := duplexOf(t, opts, opts)
	p := spawnIt(t, entryScribble, scribbleArgs{what, theirs}, nil)
	var calls sync.WaitGroup
	for _, call := range []func(ctx context.Context) error{
		func(ctx context.Context) error { _, err := mine.Get(ctx); return err },
		func(ctx context.Context) error { return mine.Put(ctx, strings.Repeat("y", rand.IntN(6000))) },
	} {
		calls.Go(func() {
			for range 500 {
				short, cancel := context.WithTimeout(ctx, time.Millisecond)
				err := call(short)
				cancel()
				checkHostile(t, err)
				if errors.Is(err, ErrFrame) {
					return
				}
			}
		})
	}
	calls.Wait()
	test.Check(t, p.Kill())
	<-p.Done()
	checkHostile(t, mine.CloseNow())
}

// checkHostile fails the test for an error that a hostile peer must not be able to cause.
func checkHostile(t *testing.T, err error) {
	t.Helper()
	var decode *DecodeError
	var size *TooLargeError
	for _, fine := range []error{nil, ErrFrame, io.EOF, io.ErrUnexpectedEOF, ErrPeerClosed, context.DeadlineExceeded} {
		if errors.Is(err, fine) {
			return
		}
	}
	if !errors.As(err, &decode) && !errors.As(err, &size) {
		t.Error(err)
	}
}
