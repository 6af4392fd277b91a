//go:build unix

package gipc

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// A child may have been taken over. Whatever it does, it costs its parent neither much memory nor much time, and its end is
// a typed error. What it may do to a channel is tested by TestHostileChildScribblesOverSharedMemory, and in the internal packages codec and wire.

var hostileFlood = flag.Int("hostile.flood", 64<<20, "how many bytes of stderr and on its crash pipe a hostile child writes")

// What a hostile child may cost its parent.
const (
	hostileMemory = 32 << 20 // bytes, beyond what was in use before
	hostileTime   = 20 * time.Second
)

// costsLittle runs f, which has a hostile child, and measures what that costs this process.
func costsLittle(t *testing.T, f func()) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // what nobody uses any more should not count
	runtime.GC()
	began, before := time.Now(), heap()
	var peak atomic.Uint64
	stop := make(chan struct{})
	sampled := test.Started(func() bool {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak.Store(max(peak.Load(), heap()))
			case <-stop:
				return true
			}
		}
	})
	f()
	close(stop)
	<-sampled
	took, grew := time.Since(began), int64(peak.Load())-int64(before)
	t.Logf("%v, %d KiB at most", took.Round(time.Millisecond), grew>>10)
	if grew > hostileMemory {
		t.Errorf("the heap grew by %d MiB", grew>>20)
	}
	if took > hostileTime {
		t.Errorf("it took %v", took)
	}
}

// heap returns the bytes of memory that the heap has from the system.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// hostileEnds are what hostile children do that end by themselves, and what becomes of them.
var hostileEnds = map[string]struct {
	args  deedArgs
	env   string
	code  int
	err   string // in Err
	panic string // in Panic
}{
	"reports of the greatest size": {deedArgs{Do: "large reports", N: 1000}, "", 1, "xxx", ""},
	"a flood on the crash pipe":    {deedArgs{Do: "flood crash pipe", Text: "x"}, "keep crash pipe", 3, "", "xxx"},
	"lines on the crash pipe":      {deedArgs{Do: "flood crash pipe", Text: "\npanic: x\ngoroutine "}, "keep crash pipe", 3, "", "x"},
	"a flood of stderr":            {deedArgs{Do: "flood stderr"}, "", 3, "", ""},
	"no memory left":               {deedArgs{Do: "exhaust memory"}, "", 2, "", "memory"},
}

func TestHostileChildThatEndsCostsLittle(t *testing.T) {
	for name, h := range hostileEnds {
		t.Run(name, func(t *testing.T) {
			ctx := test.Context(t)
			if test.RaceEnabled() && name == "no memory left" {
				t.Skip("the race detector ends a program without memory in its own ways")
			}
			if name == "no memory left" {
				test.SkipUnderQEMU(t, "a limit of addresses is one of the emulator's, too")
			}
			switch h.args.Do {
			case "large reports":
				h.args.N = test.Scaled(h.args.N)
			case "flood stderr":
				h.args.N = *hostileFlood
			case "flood crash pipe":
				h.args.N = *hostileFlood >> 16
			}
			opts := &SpawnOptions{Stderr: new(countingWriter)}
			if h.env != "" {
				opts.Env = withInit(h.env)
			}
			costsLittle(t, func() {
				p := spawnIt(t, entryDeed, h.args, opts)
				err := p.Wait(ctx)
				var exit *ExitError
				if !errors.As(err, &exit) || exit.Code != h.code {
					t.Fatal(err)
				}
				if (exit.Err == nil) != (h.err == "") || exit.Err != nil && !strings.Contains(exit.Err.Error(), h.err) {
					t.Errorf("Err %.100v, want %q", exit.Err, h.err)
				}
				if (exit.Panic == "") != (h.panic == "") || !strings.Contains(exit.Panic, h.panic) {
					t.Errorf("Panic %.100q, want %q", exit.Panic, h.panic)
				}
				if n := len(err.Error()); n > 2000 || len(exit.Stderr) > maxTail || len(exit.Panic)+len(exit.Stack) > 1<<20 {
					t.Errorf("%d bytes of text, %d of stderr, %d of crash report", n, len(exit.Stderr), len(exit.Panic)+len(exit.Stack))
				}
			})
			if written := opts.Stderr.(*countingWriter).n; h.args.Do == "flood stderr" && written != h.args.N {
				t.Errorf("%d of %d bytes of stderr came", written, h.args.N)
			}
		})
	}
}

type countingWriter struct{ n int }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n += len(p)
	return len(p), nil
}

// hostileLives are what children do that neither do what they are asked nor end by themselves: what they are told, or their init.
var hostileLives = map[string]struct{ do, env string }{
	"floods the control channel":      {"flood reports", ""},
	"has closed its descriptors":      {"close descriptors", ""},
	"said that it is ready, and lied": {"nothing", "hostile liar"},
}

// They are terminated.
func TestHostileChildThatLivesOnIsStopped(t *testing.T) {
	ctx := test.Context(t)
	for name, c := range hostileLives {
		t.Run(name, func(t *testing.T) {
			costsLittle(t, func() {
				r, w := stringPipe(t)
				opts := &SpawnOptions{Grace: 400 * time.Millisecond}
				if c.env != "" {
					opts.Env = withInit(c.env)
				}
				p := spawnIt(t, entryDeed, deedArgs{Do: c.do, Out: w}, opts)
				if c.env == "" {
					test.Equal(t, get(t, ctx, r), "up")
				}
				short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
				select {
				case <-test.Started(func() error { return p.Ping(short) }): // it may lie
				case <-ctx.Done():
					t.Error("Ping does not return")
				}
				err := p.Stop(ctx)
				var exit *ExitError
				if !errors.As(err, &exit) || exit.Signal != syscall.SIGTERM || !strings.Contains(err.Error(), "did not stop within 300ms") {
					t.Error(err)
				}
			})
		})
	}
}

// A child that can't be understood, or that no signal but one ends, is killed.
func TestHostileChildIsKilled(t *testing.T) {
	ctx := test.Context(t)
	for name, c := range map[string]struct {
		args deedArgs
		stop bool   // it lives on until it is stopped
		text string // in the error
	}{
		"rubbish on the control channel":    {deedArgs{Do: "break protocol", Text: "\xff\xff"}, false, "control channel"},
		"too much on the control channel":   {deedArgs{Do: "break protocol", Text: strings.Repeat("x", 2*maxReport)}, false, "control channel"},
		"leaves its group, and lives on":    {deedArgs{Do: "leave group"}, true, "did not stop within"},
		"ignores SIGTERM, and stands still": {deedArgs{Do: "ignore SIGTERM"}, true, "did not stop within"},
	} {
		t.Run(name, func(t *testing.T) {
			costsLittle(t, func() {
				r, w := stringPipe(t)
				c.args.Out = w
				p := spawnIt(t, entryDeed, c.args, &SpawnOptions{Grace: 400 * time.Millisecond})
				if c.stop {
					test.Equal(t, get(t, ctx, r), "up")
				}
				if strings.HasSuffix(name, "stands still") {
					suspend(t, p)
				}
				wait := p.Wait
				if c.stop {
					wait = p.Stop
				}
				end := wait(ctx)
				var exit *ExitError
				if !errors.As(end, &exit) || exit.Signal != syscall.SIGKILL || !strings.Contains(end.Error(), c.text) {
					t.Error(end)
				}
			})
		})
	}
}

// What a child says before it runs an entrypoint makes Spawn fail, with an error that can be logged.
func TestHostileChildThatRefusesCostsLittle(t *testing.T) {
	ctx := test.Context(t)
	for name, c := range map[string]struct {
		env  string
		want error
		text string
	}{
		"another build, at length": {"hostile refusal", ErrVersionMismatch, "another build"},
		"arguments, at length":     {"hostile refusal of arguments", ErrNotReady, "can't take over its arguments"},
		"rubbish":                  {"hostile rubbish", ErrNotReady, "control channel"},
	} {
		t.Run(name, func(t *testing.T) {
			costsLittle(t, func() {
				r, w := stringPipe(t)
				_, err := Spawn(ctx, entryDeed, deedArgs{Do: "nothing", Out: w}, &SpawnOptions{Env: withInit(c.env), Stderr: new(bytes.Buffer)})
				test.Is(t, err, c.want)
				if text := err.Error(); len(text) > 4000 || !strings.Contains(text, c.text) {
					t.Errorf("%d bytes: %.200q", len(text), text)
				}
				test.Check(t, w.Put(ctx, "nothing has moved"))
				test.Equal(t, get(t, ctx, r), "nothing has moved")
			})
		})
	}
}

// A daemon that a child leaves behind holds its stderr open, and the pipe for its crash report. That delays its parent by two seconds at most.
func TestHostileChildsDaemonHoldsNobody(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := test.Context(t)
	r, w := stringPipe(t)
	var output bytes.Buffer
	p := spawnIt(t, entryDeed, deedArgs{Do: "daemon", Out: w}, &SpawnOptions{
		Env: withInit("keep crash pipe"), Stdout: &output, Stderr: &output,
	})
	endWithTest(t, get(t, ctx, r))
	soon, cancel := context.WithTimeout(ctx, hostileTime)
	defer cancel()
	test.Check(t, p.Wait(soon))
}

// A process that a child leaves behind goes on to say what the child would. It delays the parent by two seconds at most, too.
func TestHostileChildsHeirHoldsNobody(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "leave an heir", Out: w}, nil)
	endWithTest(t, get(t, ctx, r))
	soon, cancel := context.WithTimeout(ctx, hostileTime)
	defer cancel()
	test.Check(t, p.Wait(soon))
}

// A length from a child's channel proves nothing.
func TestHostileChildsPromiseCostsLittle(t *testing.T) {
	needsPipe(t, "the child writes to its descriptor")
	ctx := test.Context(t)
	costsLittle(t, func() {
		r, w := stringPipe(t)
		p := spawnIt(t, entryDeed, deedArgs{Do: "promise much", N: 1 << 30, Out: w}, nil)
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		test.Is(t, second(r.Get(short)), context.DeadlineExceeded)
		test.Check(t, p.Signal(os.Kill))
		test.Is(t, second(r.Get(ctx)), io.ErrUnexpectedEOF)
	})
}
