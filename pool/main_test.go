package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

func TestMain(m *testing.M) {
	gipc.Init()
	test.Prepare()
	os.Exit(m.Run())
}

// deed is what the task of most tests is told to do.
type deed struct {
	Do   string
	N    int
	Path string
	Way  string
	Data []byte
}

// done is what it returns.
type done struct {
	PID  int
	Text string
	Data []byte
}

var errRegistered = errors.New("an error that both sides know")

func init() { gipc.RegisterError("gipc/pool test", errRegistered) }

var obey = Register("obey", func(ctx context.Context, d deed) (done, error) {
	result := done{PID: os.Getpid()}
	switch d.Do {
	case "", "nothing":
	case "echo":
		result.Data = d.Data
	case "make":
		result.Data = make([]byte, d.N)
	case "fail":
		return result, fmt.Errorf("no luck with %d: %w", d.N, fs.ErrNotExist)
	case "fail registered":
		return result, fmt.Errorf("wrapped: %w", errRegistered)
	case "fail closed":
		return result, ErrClosed
	case "fail canceled":
		return result, context.Canceled
	case "exit":
		os.Exit(d.N)
	case "panic", "kill":
		endBy(d.Do)
	case "goexit":
		runtime.Goexit()
	case "stop":
		stopSelf()
	case "terminate":
		terminateSelf()
	case "until told": // a file appears when the task runs, and the task ends when it is removed
		announce(d.Path)
		for exists(d.Path) {
			time.Sleep(time.Millisecond)
		}
	case "until cancelled":
		growThreads(d.N)
		announce(d.Path)
		<-ctx.Done()
		note(d.Path+".end", fmt.Sprintf("%v|%v", ctx.Err(), context.Cause(ctx)))
		return result, ctx.Err()
	case "stubborn":
		announce(d.Path)
		select {}
	case "deadline":
		t, ok := ctx.Deadline()
		result.Text = fmt.Sprint(ok, time.Until(t) > time.Duration(d.N)*time.Second)
	case "count": // one more line in a file
		note(d.Path, "x")
	case "log":
		slog.Info("from the worker", "n", d.N)
	case "stubborn pid":
		note(d.Path, strconv.Itoa(os.Getpid()))
		select {}
	case "hoard": // MiB, in vain where there is a limit
		hoardMore(d.N)
	case "print":
		fmt.Println("printed")
	case "count as":
		note(d.Path, fmt.Sprint(d.N, " "))
	case "close descriptors":
		closeDescriptors()
		if d.Way == "stay" {
			select {}
		}
	case "leave a grandchild":
		note(d.Path, strconv.Itoa(leaveGrandchild()))
		endBy(d.Way)
	case "end once": // the first time
		if !exists(d.Path) {
			announce(d.Path)
			endBy(d.Way)
		}
	default:
		return result, errors.New("unknown deed " + strconv.Quote(d.Do))
	}
	return result, nil
})

// growThreads makes so many threads, which Go's runtime keeps.
func growThreads(n int) {
	var up, down sync.WaitGroup
	up.Add(n)
	for range n {
		down.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			up.Done()
			up.Wait()
		})
	}
	down.Wait()
}

// endBy ends the process in a way.
func endBy(way string) {
	switch way {
	case "panic":
		panic("as told")
	case "exit":
		os.Exit(0)
	case "kill":
		killSelf()
	}
}

func announce(path string) { note(path, "") }

// note appends text to a file.
func note(path, text string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return // the test has ended
	}
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		panic(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
