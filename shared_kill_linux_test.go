package gipc

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// killArgs are those of a child that is killed.
type killArgs struct {
	In    *Reader[[]byte]
	Out   *Writer[[]byte]
	Acked *os.File // gets a byte for each message that Out took
	Seed  uint64
}

// killedSize is the size of a killed child's message: most fit into its memory.
func killedSize(rng *rand.Rand) int {
	if rng.IntN(10) == 0 {
		return rng.IntN(20_000)
	}
	return rng.IntN(1000)
}

var entryKilled = Register("killed", func(ctx context.Context, a killArgs) error {
	if a.In != nil {
		for _, err := range a.In.All(ctx) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	rng := rand.New(rand.NewPCG(a.Seed, 1))
	for i := 0; ; i++ {
		if err := a.Out.Put(ctx, test.Stamped(1, i, killedSize(rng))); err != nil {
			return err
		}
		if _, err := a.Acked.Write([]byte{1}); err != nil {
			return err
		}
	}
})

// A Put that returned nil has put its message where it is read, though its process is killed at the next instant.
func killedWriter(ctx context.Context, t *testing.T, seed uint64) {
	r, w, err := Pipe(sharedOptions(1))
	test.Check(t, err)
	defer r.Close()
	acks, acked := pipeFiles(t)
	p, err := Spawn(ctx, entryKilled, killArgs{Out: w, Acked: acked, Seed: seed}, nil)
	test.Check(t, err)
	counted := test.Started(func() int64 { n, _ := io.Copy(io.Discard, acks); return n })
	rng := rand.New(rand.NewPCG(seed, 2))
	got, until := int64(0), int64(rng.IntN(300))
	for ; ; got++ {
		if got == until {
			test.Check(t, p.Kill())
		}
		v, err := r.Get(ctx)
		if err != nil {
			test.Is(t, err, io.ErrUnexpectedEOF)
			break
		}
		_, seq := test.ReadStamp(t, v)
		test.Equal(t, int64(seq), got)
	}
	if n := <-counted; got < n {
		t.Errorf("seed %d: %d of %d messages came", seed, got, n)
	}
	<-p.Done()
}

// A Writer learns that its reader was killed, at the latest when the memory is full.
func killedReader(ctx context.Context, t *testing.T, seed uint64) {
	r, w, err := Pipe(sharedOptions(1))
	test.Check(t, err)
	defer w.CloseNow()
	p, err := Spawn(ctx, entryKilled, killArgs{In: r}, nil)
	test.Check(t, err)
	rng := rand.New(rand.NewPCG(seed, 2))
	until := rng.IntN(300)
	for i := 0; ; i++ {
		if i == until {
			test.Check(t, p.Kill())
		}
		if err := w.Put(ctx, test.Stamped(1, i, killedSize(rng))); err != nil {
			test.Is(t, err, ErrPeerClosed)
			break
		}
	}
	<-p.Done()
}

func pipeFiles(t *testing.T) (r, w *os.File) {
	r, w, err := os.Pipe()
	test.Check(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.Close() }) // one has moved
	return r, w
}
