package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deeds are what a child can be told to do, by name. They are filled in by init functions: they spawn, too, and so can't be
// what entryDeed's initialization depends on.
var deeds = map[string]func(ctx context.Context, a deedArgs) error{}

// addDeed adds a deed. Each name is free once: another one would silently change what somebody's test does.
func addDeed(name string, do func(ctx context.Context, a deedArgs) error) {
	if deeds[name] != nil {
		panic("there are two deeds " + strconv.Quote(name))
	}
	deeds[name] = do
}

// deedArgs are the arguments of most children of the tests; each deed uses some of them.
type deedArgs struct {
	Do   string
	Text string
	N    int
	In   *Reader[string]
	Out  *Writer[string]
	Talk *Duplex[string, string]
	Rest []*Writer[string]
	File *os.File
}

var entryDeed = Register("deed", func(ctx context.Context, a deedArgs) error {
	do, ok := deeds[a.Do]
	if !ok {
		return fmt.Errorf("there is no deed %q", a.Do)
	}
	return do(ctx, a)
})

// echoEntry returns what an entrypoint is that sends back everything it gets. The codec of the channel decides how.
func echoEntry[T any](ctx context.Context, talk *Duplex[T, T]) error {
	for v, err := range talk.All(ctx) {
		if err == nil {
			err = talk.Put(ctx, v)
		}
		if err != nil {
			return err
		}
	}
	return talk.Close()
}

var (
	entryEchoString = Register("echo string", echoEntry[string])
	entryEchoBytes  = Register("echo bytes", echoEntry[[]byte])
	entryEchoStruct = Register("echo struct", echoEntry[letter])
)

// A child in the way is a transport like any other: it sends on what it gets.
func init() {
	for name, opts := range map[string]*Options[[]byte]{
		"a child":           {Codec: Raw{}},
		"a child, buffered": {Codec: Raw{}, Buffer: 10_000},
	} {
		transports = append(transports, transport{name, func(t testing.TB) (*Reader[[]byte], *Writer[[]byte]) {
			mine, theirs := duplexOf(t, opts, opts)
			spawnIt(t, entryEchoBytes, theirs, nil)
			return mine.Reader(), mine.Writer()
		}})
	}
}

// letter is a message with a structure.
type letter struct {
	To    map[string][]int
	Text  string
	Sent  time.Time
	Reply *letter
}

func init() {
	addDeed("nothing", func(context.Context, deedArgs) error { return nil })
	addDeed("say", func(ctx context.Context, a deedArgs) error { return a.Out.Put(ctx, a.Text) })
	addDeed("echo", func(ctx context.Context, a deedArgs) error { return echoEntry(ctx, a.Talk) })
	addDeed("forward", func(ctx context.Context, a deedArgs) error { return forwardAll(ctx, a.In, a.Out) })
	addDeed("count", func(ctx context.Context, a deedArgs) error {
		for i := range a.N {
			if err := a.Out.Put(ctx, fmt.Sprint(a.Text, i)); err != nil {
				return err
			}
		}
		for _, w := range a.Rest {
			if err := w.Put(ctx, "counted"); err != nil {
				return err
			}
		}
		return nil
	})
	addDeed("read one", func(ctx context.Context, a deedArgs) error {
		_, err := a.In.Get(ctx)
		return err
	})
	addDeed("write on", func(ctx context.Context, a deedArgs) error {
		for {
			switch err := a.Out.Put(ctx, a.Text); {
			case errors.Is(err, ErrPeerClosed):
				return nil
			case err != nil:
				return err
			}
		}
	})
	addDeed("put and exit", func(ctx context.Context, a deedArgs) error {
		err := a.Out.Put(ctx, a.Text)
		if err != nil {
			return err
		}
		os.Exit(a.N)
		return nil
	})
	addDeed("stderr", func(_ context.Context, a deedArgs) error {
		fmt.Fprint(os.Stderr, a.Text)
		if a.N != 0 {
			os.Exit(a.N)
		}
		return nil
	})
	addDeed("copy stdin", func(context.Context, deedArgs) error {
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	})
	addDeed("env", func(ctx context.Context, a deedArgs) error {
		return a.Out.Put(ctx, strings.Join(os.Environ(), "\n"))
	})
	addDeed("dir", func(ctx context.Context, a deedArgs) error {
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		return a.Out.Put(ctx, dir+"\n"+os.Args[0])
	})
	addDeed("file", func(ctx context.Context, a deedArgs) error {
		runtime.GC() // what held the descriptor before the arguments did is gone
		runtime.GC()
		_, err := fmt.Fprintf(a.File, "%s to %s", a.Text, a.File.Name())
		return errors.Join(err, a.File.Close())
	})
	addDeed("accept", func(_ context.Context, a deedArgs) error {
		listener, err := net.FileListener(a.File)
		if err != nil {
			return err
		}
		defer listener.Close()
		if err := a.File.Close(); err != nil { // listener has its own
			return err
		}
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(conn, a.Text)
		return errors.Join(err, conn.Close())
	})
	addDeed("close stdio", func(ctx context.Context, a deedArgs) error {
		err := errors.Join(os.Stdout.Close(), os.Stderr.Close())
		return errors.Join(err, a.Out.Put(ctx, "still here"))
	})
}

func forwardAll[T any](ctx context.Context, from *Reader[T], to *Writer[T]) error {
	for v, err := range from.All(ctx) {
		if err == nil {
			err = to.Put(ctx, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Ways to wait, each after saying "up".
func init() {
	waiting := func(do string, wait func(ctx context.Context, a deedArgs) error) {
		addDeed(do, func(ctx context.Context, a deedArgs) error {
			if a.Out != nil {
				if err := a.Out.Put(ctx, "up"); err != nil {
					return err
				}
			}
			return wait(ctx, a)
		})
	}
	waiting("await ctx, cause", func(ctx context.Context, _ deedArgs) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	waiting("await ctx", func(ctx context.Context, _ deedArgs) error {
		<-ctx.Done()
		return ctx.Err()
	})
	waiting("await ctx and wrap", func(ctx context.Context, _ deedArgs) error {
		<-ctx.Done()
		return fmt.Errorf("gave up: %w", ctx.Err())
	})
	waiting("await ctx and join", func(ctx context.Context, _ deedArgs) error {
		<-ctx.Done()
		return errors.Join(ctx.Err(), errors.New("3 orders not saved"))
	})
	waiting("await ctx and fail", func(ctx context.Context, _ deedArgs) error {
		<-ctx.Done()
		return fmt.Errorf("failed after %v", context.Cause(ctx))
	})
	waiting("await ctx and time out", func(ctx context.Context, _ deedArgs) error {
		<-ctx.Done()
		return fmt.Errorf("3 orders not saved: %w", context.DeadlineExceeded)
	})
	waiting("await ctx, well", func(ctx context.Context, _ deedArgs) error {
		<-ctx.Done()
		return nil
	})
	waiting("ignore ctx", func(context.Context, deedArgs) error { select {} })
	waiting("spin", func(context.Context, deedArgs) error {
		//lint:ignore SA5002 a busy loop is what is tested
		for {
		}
	})
	waiting("await order", func(ctx context.Context, a deedArgs) error {
		how, err := a.In.Get(ctx)
		if err != nil {
			return err
		}
		return endings[how]()
	})
}

// endings are the ways in which a child can end by itself.
var endings = map[string]func() error{
	"nil":             func() error { return nil },
	"error":           func() error { return errors.New("no luck\ntoday") },
	"error no UTF-8":  func() error { return errors.New("bad \xff") },
	"error huge":      func() error { return errors.New(strings.Repeat("x", 8<<20)) },
	"canceled":        func() error { return fmt.Errorf("gave up: %w", context.Canceled) },
	"deadline":        func() error { return context.DeadlineExceeded },
	"exit 0":          func() error { os.Exit(0); return nil },
	"exit 3":          func() error { os.Exit(3); return nil },
	"panic":           func() error { panic("boom") },
	"panic huge":      func() error { panic(strings.Repeat("x", 2<<20)) },
	"panic init":      func() error { Init(); return nil },
	"panic lines":     func() error { panic("boom\ngoroutine 1 [running]:\npanic: bang") },
	"panic error":     func() error { panic(errors.New("boom error")) },
	"panic custom":    func() error { panic(customPanic{Why: "because", N: 7}) },
	"panic goexit":    func() error { runtime.Goexit(); return nil },
	"panic cut short": func() error { defer runtime.Goexit(); panic("boom") },
	"panic leaving":   func() error { defer func() { panic("boom on the way out") }(); runtime.Goexit(); return nil },
	"panic nil":       func() error { var m *deedArgs; m.N = 1; return nil },
	"panic repeated":  func() error { defer func() { panic("second") }(); panic("first") },
	"fatal map":       writeConcurrently,
	"fatal stack":     overflow,
	"fatal late":      func() error { debug.PrintStack(); return writeConcurrently() },
	"crash many":      crashAmongMany,
	"panic goroutine": func() error { go elsewhere(); select {} },
}

type customPanic struct {
	Why string
	N   int
}

func elsewhere() { panic("boom elsewhere") }

func writeConcurrently() error {
	m := map[int]int{}
	for range 4 {
		go func() {
			for {
				m[1]++
			}
		}()
	}
	select {}
}

func overflow() error {
	debug.SetMaxStack(1 << 20)
	return overflowing(0)
}

//go:noinline
func overflowing(n int) error {
	var room [64]int
	room[n%64] = n
	//lint:ignore SA5007 a stack overflow is what is tested
	return errors.Join(overflowing(n+room[n%64]), nil)
}

// crashAmongMany panics with thousands of other goroutines, all of which the runtime prints.
func crashAmongMany() error {
	for range 5000 {
		go func() { select {} }()
	}
	debug.SetTraceback("all")
	panic("boom in a crowd")
}

// letterTo makes a letter that is not trivial to encode.
func letterTo(name string) letter {
	return letter{
		To: map[string][]int{name: {1, -2, 1 << 30}, "": nil}, Text: "héllo\x00",
		Sent: time.Now().Round(0), Reply: &letter{Text: "re: " + name},
	}
}
