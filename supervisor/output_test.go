package supervisor

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// oneWriter is no writer for several goroutines at once. It says whether it had to be one.
type oneWriter struct {
	inside  atomic.Int32
	crowded atomic.Bool
	bytes   int
}

func (w *oneWriter) Write(b []byte) (int, error) {
	if w.inside.Add(1) > 1 {
		w.crowded.Store(true)
	}
	time.Sleep(20 * time.Millisecond) // others come meanwhile
	w.bytes += len(b)
	w.inside.Add(-1)
	return len(b), nil
}

func TestChildrenShareAWriter(t *testing.T) {
	for name, share := range map[string]func(w *oneWriter) io.Writer{
		"that can be compared": func(w *oneWriter) io.Writer { return w },
		"that can't":           func(w *oneWriter) io.Writer { return writerFunc(w.Write) },
	} {
		t.Run(name, func(t *testing.T) {
			var w oneWriter
			s, _ := superviseIt(t, Options{})
			args := func(context.Context) (deedArgs, error) {
				return deedArgs{Do: "stdout, stderr and exit", Text: "words"}, nil
			}
			both := &gipc.SpawnOptions{Stdout: share(&w), Stderr: share(&w)}
			child := func() ChildSpec { return Child(entryDeed, args, &ChildOptions{Restart: Transient, Spawn: both}) }
			twice := child()
			test.Check(t, s.Start(twice, twice, child()))
			test.Check(t, s.Wait())
			test.Equal(t, w.bytes, 6*len("words"))
			test.Equal(t, w.crowded.Load(), false)
		})
	}
}

// A Write that blocks beyond the end of its process must not meet those of the next one.
func TestIncarnationsShareAWriter(t *testing.T) {
	var inside, most atomic.Int32
	release := make(chan struct{})
	hold := writerFunc(func(b []byte) (int, error) {
		if n := inside.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer inside.Add(-1)
		<-release
		return len(b), nil
	})
	s, log := superviseIt(t, Options{Backoff: Backoff{Min: 1, Max: 1}})
	t.Cleanup(func() { close(release) })
	test.Check(t, s.Start(Child(entryDeed, func(context.Context) (deedArgs, error) {
		return deedArgs{Do: "stdout, stderr and exit", Text: "words"}, nil
	}, &ChildOptions{Spawn: &gipc.SpawnOptions{Stdout: io.Discard, Stderr: hold}})))
	log.awaitKind(t, EventExited, "deed", 2)
	test.Equal(t, most.Load(), 1)
}
