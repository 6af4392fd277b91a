package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

type echoArgs struct {
	Talk *Duplex[string, string]
	Note map[string]*Writer[int]
	File *os.File
	Big  []byte
}

var entryEcho = Register("echo", func(ctx context.Context, a echoArgs) error {
	for v, err := range a.Talk.All(ctx) {
		if err != nil {
			return err
		}
		if err := a.Talk.Put(ctx, "echo "+v); err != nil {
			return err
		}
	}
	for k, w := range a.Note {
		if err := w.Put(ctx, len(k)+len(a.Big)); err != nil {
			return err
		}
	}
	if a.File != nil {
		fmt.Fprintf(a.File, "from %d\n", os.Getpid()-os.Getpid())
	}
	return nil
})

var entryExit = Register("exit", func(ctx context.Context, how string) error {
	switch how {
	case "nil":
		return nil
	case "error":
		return errors.New("no luck")
	case "3":
		os.Exit(3)
	case "panic":
		panic("boom\nbang")
	case "panic goroutine":
		go panic(fmt.Errorf("boom"))
		select {}
	case "fatal":
		m := map[int]int{}
		go func() {
			for {
				m[1]++
			}
		}()
		for {
			m[1]++
		}
	case "ctx":
		<-ctx.Done()
		return ctx.Err()
	case "ignore":
		select {}
	case "busy":
		for {
		}
	}
	return nil
})

func TestSmoke(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	mine, theirs, err := NewDuplex[string, string](nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := Pipe[int](nil)
	if err != nil {
		t.Fatal(err)
	}
	fr, fw, _ := os.Pipe()
	p, err := Spawn(ctx, entryEcho, echoArgs{Talk: theirs, Note: map[string]*Writer[int]{"abc": w}, File: fw, Big: make([]byte, 100_000_000)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(ctx, 1); !errors.Is(err, ErrMoved) || !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	} else {
		t.Log(err)
	}
	if err := mine.Put(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	got, err := mine.Get(ctx)
	t.Log(got, err)
	if err := mine.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	n, err := r.Get(ctx)
	t.Log(n, err)
	b, err := io.ReadAll(fr)
	t.Logf("%q %v", b, err)
	t.Log(p, p.Wait(ctx), p)
	code, ok := p.ExitCode()
	t.Log(code, ok)
	_, err = r.Get(ctx)
	t.Log(err)
}

func TestExits(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, how := range []string{"nil", "error", "3", "panic", "panic goroutine", "fatal", "kill", "term", "stop ctx", "stop ignore", "stop busy", "parent ctx"} {
		start := time.Now()
		var errb strings.Builder
		cctx, ccancel := context.WithCancel(ctx)
		real := strings.TrimPrefix(how, "stop ")
		if how == "kill" || how == "term" {
			real = "ignore"
		}
		if how == "parent ctx" {
			real = "ctx"
		}
		p, err := Spawn(cctx, entryExit, real, &SpawnOptions{Stderr: &errb, Grace: time.Second / 2})
		if err != nil {
			t.Fatal(how, err)
		}
		if how == "kill" {
			p.Kill()
		}
		if how == "term" {
			p.Terminate()
		}
		if how == "parent ctx" {
			ccancel()
		}
		if strings.HasPrefix(how, "stop") {
			t.Log(how, "stop:", p.Stop(ctx))
		}
		err = p.Wait(ctx)
		code, ok := p.ExitCode()
		t.Log(how, "->", err, code, ok, time.Since(start).Round(time.Millisecond))
		var e *ExitError
		if errors.As(err, &e) {
			t.Logf("   panic %q stack %d stderr %d err %v sig %v", e.Panic, len(e.Stack), len(e.Stderr), e.Err, e.Signal == syscall.SIGKILL)
		}
		ccancel()
	}
}
