package gipc

import (
	"bufio"
	"context"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The init of entrypoints_hostile_unix_test.go, which comes behind this one, runs what hostileInits has.
func init() {
	// It reads another pipe instead, keeps its own, and fills it from the wrong side.
	addDeed("fill orders", func(ctx context.Context, a deedArgs) error {
		kept, err := unix.Dup(hostileOrders)
		if err != nil {
			return err
		}
		var empty [2]int
		if err := unix.Pipe2(empty[:], unix.O_NONBLOCK); err != nil {
			return err
		}
		if err := unix.Dup3(empty[0], hostileOrders, 0); err != nil {
			return err
		}
		full, err := unix.Open("/proc/self/fd/"+strconv.Itoa(kept), unix.O_WRONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		for size := 4096; size > 0; {
			if _, err := unix.Write(full, make([]byte, size)); err != nil {
				size /= 2
			}
		}
		if err := a.Out.Put(ctx, "up"); err != nil {
			return err
		}
		select {}
	})
	hostileInits["hostile tracer"] = func() error {
		traced := os.Getppid()
		if err := unix.PtraceSeize(traced); err != nil {
			return err
		}
		os.Stdout.WriteString("seized\n")
		for {
			if unix.Waitid(unix.P_PID, traced, nil, unix.WSTOPPED, nil) == nil { // Go's runtime sends itself signals
				_ = unix.PtraceCont(traced, 0)
			} else {
				_ = unix.Pause()
			}
		}
	}
	// Its parent's kernel tells when it ends, but gives it to nobody but the tracer.
	addDeed("be traced", func(ctx context.Context, a deedArgs) error {
		_ = unix.Prctl(unix.PR_SET_PTRACER, ^uintptr(0), 0, 0, 0) // fails where everybody may
		cmd, err := hostileProgram("hostile tracer")
		if err != nil {
			return err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			return a.Out.Put(ctx, "not traced: "+line)
		}
		return a.Out.Put(ctx, strconv.Itoa(cmd.Process.Pid))
	})
}
