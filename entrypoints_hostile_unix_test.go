//go:build unix

package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/pack"
)

// What hostile children do: they are this program, and know how gipc talks to its children.

// hostileInits are what a child does before its main calls Init, by the name that withInit gives to it.
var hostileInits = map[string]func() error{
	// It says that it is ready, which Spawn believes, and never reads on.
	"hostile liar": func() error {
		if !inheritance.tell(report{Ready: true}) {
			return errors.New("nobody listens")
		}
		select {}
	},
	"hostile refusal": func() error {
		inheritance.tell(report{Refused: refusedBuild, Text: strings.Repeat("x", maxText)})
		os.Exit(exitFailed)
		return nil
	},
	"hostile refusal of arguments": func() error {
		inheritance.tell(report{Text: strings.Repeat("x", maxText)})
		os.Exit(exitFailed)
		return nil
	},
	"hostile rubbish": func() error {
		if _, err := unix.Write(hostileReports, bytes.Repeat([]byte{0xfe}, 4096)); err != nil {
			return err
		}
		select {}
	},
	// It reports signs of life, without end, on a pipe that it has from a child.
	"hostile heir": func() error {
		report := pack.Append(nil, &report{Pong: 1})
		frame := append(appendHeader(nil, len(report)), report...)
		for {
			if _, err := unix.Write(3, frame); err != nil {
				return err
			}
			time.Sleep(turn / 5) // who waits for a turn after each would wait for ever
		}
	},
	// It keeps a second descriptor of its crash pipe, which Init leaves to the runtime alone.
	"keep crash pipe": func() (err error) {
		hostileCrash, err = unix.Dup(5)
		return err
	},
}

const hostileOrders, hostileReports = 3, 4 // descriptors of the pipes, as internal/proc numbers them

var hostileCrash int

func init() {
	if hostile := hostileInits[os.Getenv(initEnv)]; hostile != nil {
		if err := hostile(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
	}
}

// hostileProgram is this program, in a session of its own, without gipc: it runs what hostileInits has.
func hostileProgram(name string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path)
	cmd.Env, cmd.Stderr = withInit(name), os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, nil
}

// Rubbish on the control channel is what "break protocol" sends.
func init() {
	// Signs of life without end.
	addDeed("flood reports", func(ctx context.Context, a deedArgs) error {
		for first := true; ; first = false {
			if err := inheritance.control.send(context.Background(), &report{Pong: 1, Serving: true}); err != nil {
				return err
			}
			if first {
				if err := a.Out.Put(ctx, "up"); err != nil {
					return err
				}
			}
		}
	})
	// N reports that are as large as one may be.
	addDeed("large reports", func(ctx context.Context, a deedArgs) error {
		r := report{Error: AppendRemoteError(nil, errors.New(strings.Repeat("x", 1<<10))), Text: strings.Repeat("x", maxReport)}
		b := pack.Append(nil, &r)
		r.Text = r.Text[len(b)-maxReport:]
		for range a.N {
			if err := inheritance.control.send(ctx, &r); err != nil {
				return err
			}
		}
		os.Exit(exitFailed)
		return nil
	})
	addDeed("flood crash pipe", func(_ context.Context, a deedArgs) error {
		rubbish := bytes.Repeat([]byte(a.Text), 64<<10/len(a.Text))
		for range a.N {
			if _, err := unix.Write(hostileCrash, rubbish); err != nil {
				return err
			}
		}
		os.Exit(3)
		return nil
	})
	addDeed("close descriptors", func(ctx context.Context, a deedArgs) error {
		if err := a.Out.Put(ctx, "up"); err != nil {
			return err
		}
		for fd := range 6 {
			_ = unix.Close(fd)
		}
		select {}
	})
	addDeed("flood stderr", func(_ context.Context, a deedArgs) error {
		line := bytes.Repeat([]byte("no news is good news\n"), 3000)
		for written := 0; written < a.N; {
			n, err := os.Stderr.Write(line[:min(len(line), a.N-written)])
			if err != nil {
				return err
			}
			written += n
		}
		os.Exit(3)
		return nil
	})
	// A daemon, made as daemons are: a session of its own, and a second fork, whose parent ends. It holds all that it can.
	addDeed("daemon", func(ctx context.Context, a deedArgs) error {
		cmd := exec.Command("sh", "-c", "sleep 1000 >&3 3>&- & echo $!")
		cmd.ExtraFiles, cmd.Stderr = []*os.File{os.Stdout}, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		pid, err := cmd.Output()
		if err != nil {
			return err
		}
		return a.Out.Put(ctx, strings.TrimSpace(string(pid)))
	})
	addDeed("leave an heir", func(ctx context.Context, a deedArgs) error {
		reports, err := unix.Dup(hostileReports)
		if err != nil {
			return err
		}
		cmd, err := hostileProgram("hostile heir")
		if err != nil {
			return err
		}
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(reports), "reports")}
		if err := cmd.Start(); err != nil {
			return err
		}
		return a.Out.Put(ctx, strconv.Itoa(cmd.Process.Pid))
	})
	addDeed("exhaust memory", func(context.Context, deedArgs) error { return exhaustMemory() })
	// Never lets a channel's reader have the rest.
	addDeed("promise much", func(ctx context.Context, a deedArgs) error {
		w := a.Out.out.Stream().(io.Writer)
		if _, err := w.Write(append(appendHeader(nil, a.N), "but little comes"...)); err != nil {
			return err
		}
		select {}
	})
}
