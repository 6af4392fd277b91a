//go:build unix

package gipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func init() {
	deeds["ignore SIGTERM"] = func(ctx context.Context, a deedArgs) error {
		signal.Ignore(syscall.SIGTERM)
		return deeds["ignore ctx"](ctx, a)
	}
	deeds["catch SIGTERM"] = func(ctx context.Context, a deedArgs) error {
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGTERM)
		if err := a.Out.Put(ctx, "up"); err != nil {
			return err
		}
		return fmt.Errorf("caught %v", <-got)
	}
	deeds["status"] = func(ctx context.Context, a deedArgs) error {
		status, err := os.ReadFile("/proc/self/status")
		return errors.Join(err, a.Out.Put(ctx, string(status)))
	}
	// Starts a process that isn't one of gipc's, and ends, or waits.
	deeds["grandchild"] = func(ctx context.Context, a deedArgs) error {
		cmd := exec.Command("sleep", fmt.Sprint(a.N))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if a.File != nil { // it holds the file, and nothing else of ours
			cmd.Stdout, cmd.Stderr = a.File, a.File
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		if a.File != nil {
			a.File.Close()
		}
		if err := a.Out.Put(ctx, "up"); err != nil {
			return err
		}
		return endings[a.Text]()
	}
	endings["wait"] = func() error { select {} }
	// Starts its own program as an ordinary command.
	deeds["plain"] = func(ctx context.Context, a deedArgs) error {
		path, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.Command(path, "-test.run=^$")
		out, err := cmd.CombinedOutput()
		return errors.Join(err, a.Out.Put(ctx, string(out)))
	}
	deeds["ignore SIGCHLD"] = func(ctx context.Context, a deedArgs) error {
		signal.Ignore(syscall.SIGCHLD)
		p, err := Spawn(ctx, entryDeed, deedArgs{Do: "nothing"}, nil)
		if err != nil {
			return err
		}
		err = p.Wait(ctx)
		code, exited := p.ExitCode()
		return a.Out.Put(ctx, fmt.Sprint(err != nil, code, exited, p.Alive()))
	}
	// Starts a line of N descendants, each of which holds File and waits in the way of Text.
	deeds["generations"] = func(ctx context.Context, a deedArgs) error {
		if a.N == 0 {
			return deeds[a.Text](ctx, a)
		}
		a.N--
		mine, err := duplicate(a.File)
		if err != nil {
			return err
		}
		defer mine.Close()
		wait := a.Text
		if _, err := Spawn(ctx, entryDeed, a, &SpawnOptions{Grace: time.Second}); err != nil {
			return err
		}
		return deeds[wait](ctx, deedArgs{})
	}
	// A parent to be killed: it starts a child, which has its stderr, and waits.
	deeds["parent"] = func(ctx context.Context, a deedArgs) error {
		do, where, _ := strings.Cut(a.Text, "@")
		opts := &SpawnOptions{Grace: time.Duration(a.N) * time.Millisecond}
		if where != "" { // the child says "up" on stderr, and never becomes ready
			opts.Env = withInit(where)
		}
		if _, err := Spawn(ctx, entryDeed, deedArgs{Do: do, Out: a.Out}, opts); err != nil {
			return err
		}
		select {}
	}
}
