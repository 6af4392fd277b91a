//go:build unix

package gipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	addDeed("ignore SIGTERM", func(ctx context.Context, a deedArgs) error {
		signal.Ignore(syscall.SIGTERM)
		return deeds["ignore ctx"](ctx, a)
	})
	addDeed("leave group", func(ctx context.Context, a deedArgs) error {
		cmd := test.Stranger() // stays in the group
		if err := cmd.Start(); err != nil {
			return err
		}
		parents, err := unix.Getpgid(os.Getppid())
		if err != nil {
			return err
		}
		if err := syscall.Setpgid(0, parents); err != nil {
			return err
		}
		return deeds["ignore SIGTERM"](ctx, a)
	})
	addDeed("catch SIGTERM", func(ctx context.Context, a deedArgs) error {
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGTERM)
		if err := a.Out.Put(ctx, "up"); err != nil {
			return err
		}
		return fmt.Errorf("caught %v", <-got)
	})
	addDeed("status", func(ctx context.Context, a deedArgs) error {
		status, err := os.ReadFile("/proc/self/status")
		return errors.Join(err, a.Out.Put(ctx, string(status)))
	})
	addDeed("ignore SIGCHLD", func(ctx context.Context, a deedArgs) error {
		signal.Ignore(syscall.SIGCHLD)
		var children []*Process
		var open []int // descriptors, after each
		for range 3 {
			p, err := Spawn(ctx, entryDeed, deedArgs{Do: "nothing"}, nil)
			if err != nil {
				return err
			}
			err = p.Wait(ctx)
			code, exited := p.ExitCode()
			if err := a.Out.Put(ctx, fmt.Sprint(err != nil, code, exited, p.Alive())); err != nil {
				return err
			}
			entries, err := os.ReadDir("/dev/fd")
			if err != nil {
				return err
			}
			children, open = append(children, p), append(open, len(entries))
		}
		err := a.Out.Put(ctx, fmt.Sprint(open[2]-open[0], " more descriptors"))
		runtime.KeepAlive(children)
		return err
	})
}
