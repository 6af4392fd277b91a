package gipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	addDeed("loop", func(context.Context, deedArgs) error {
		for {
		}
	})
	addDeed("become a shell", func(_ context.Context, a deedArgs) error {
		return syscall.Exec("/bin/sh", []string{"sh", "-c", a.Text}, os.Environ())
	})
	addDeed("dump core", func(ctx context.Context, _ deedArgs) error {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
			return err
		}
		limit.Cur = limit.Max
		if err := syscall.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
			return err
		}
		return deeds["become a shell"](ctx, deedArgs{Text: "kill -SEGV $$"})
	})
	addDeed("ask a shell", func(ctx context.Context, a deedArgs) error {
		out, err := exec.Command("sh", "-c", a.Text).CombinedOutput()
		return a.Out.Put(ctx, fmt.Sprint(strings.Join(strings.Fields(string(out)), " "), " ", err))
	})
	addDeed("open files", func(ctx context.Context, a deedArgs) error {
		var open []*os.File
		for len(open) < a.N {
			f, err := os.Open(os.DevNull)
			if err != nil {
				if err := a.Out.Put(ctx, fmt.Sprint(len(open), " ", errors.Is(err, syscall.EMFILE))); err != nil {
					return err
				}
				_, err := a.In.Get(ctx)
				return err
			}
			open = append(open, f)
		}
		return errors.New("no limit")
	})
	addDeed("write a file", func(_ context.Context, a deedArgs) error {
		err := os.WriteFile(a.Text, make([]byte, a.N), 0o600)
		if errors.Is(err, syscall.EFBIG) {
			return errors.New("as expected")
		}
		return err
	})
	addDeed("spawn with limits", func(ctx context.Context, a deedArgs) error {
		p, err := Spawn(ctx, entryDeed, deedArgs{Do: "ask a shell", Text: a.Text, Out: a.Out}, &SpawnOptions{Limits: &Limits{Files: a.N}})
		if err != nil {
			return err
		}
		return p.Wait(ctx)
	})
}

func wantLimit(t *testing.T, e *ExitError, limit, field string, sig os.Signal) {
	t.Helper()
	if e.Limit != limit || e.Signal != sig || !strings.Contains(e.Error(), "Limits."+field) {
		t.Errorf("limit %q, signal %v: %v", e.Limit, e.Signal, e)
	}
}

func TestLimitsCPUEndsAGoLoopAndOtherPrograms(t *testing.T) {
	opts := SpawnOptions{Limits: &Limits{CPU: time.Nanosecond, NoCore: true}} // rounded up to a second
	for name, do := range map[string]deedArgs{
		"a Go loop":       {Do: "loop"},
		"another program": {Do: "become a shell", Text: "while :; do :; done"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantLimit(t, limited(t, do, opts), "cpu", "CPU", syscall.SIGXCPU)
		})
	}
	t.Run("a grandchild", func(t *testing.T) {
		t.Parallel()
		got := answer(t, deedArgs{Do: "ask a shell", Text: "while :; do :; done"}, opts)
		if !strings.Contains(got, syscall.SIGXCPU.String()) {
			t.Error(got)
		}
	})
}

func TestLimitsOfRlimitsReachGrandchildren(t *testing.T) {
	got := answer(t, deedArgs{Do: "ask a shell", Text: "ulimit -St; ulimit -Ht; ulimit -Sn; ulimit -Hn; ulimit -Sf; ulimit -Hf; ulimit -Sc; ulimit -Hc"},
		SpawnOptions{Limits: &Limits{CPU: 7 * time.Second, Files: 100, FileSize: 1 << 20, NoCore: true}})
	test.Equal(t, got, "7 8 100 100 2048 2048 0 0 <nil>") // of blocks of 512 bytes the last four
}

func TestLimitsFilesAreTheChildsAlone(t *testing.T) {
	const limit = 64
	in, order := stringPipe(t)
	got := answer(t, deedArgs{Do: "open files", N: limit, In: in}, SpawnOptions{Limits: &Limits{Files: limit}})
	var opened int
	var refused bool
	if _, err := fmt.Sscan(got, &opened, &refused); err != nil || !refused || opened < limit/2 || opened >= limit {
		t.Errorf("%q, %v", got, err)
	}
	var open []*os.File
	defer func() {
		for _, f := range open {
			_ = f.Close()
		}
	}()
	for range 2 * limit { // while the child lives
		f, err := os.Open(os.DevNull)
		test.Check(t, err)
		open = append(open, f)
	}
	test.Check(t, order.Put(test.Context(t), "enough"))
}

func TestLimitsLowerStays(t *testing.T) {
	got := answer(t, deedArgs{Do: "spawn with limits", N: 1000, Text: "ulimit -Sn; ulimit -Hn"}, SpawnOptions{Limits: &Limits{Files: 100}})
	test.Equal(t, got, "100 100 <nil>")
}

// skipUnderRaceDetector is for children that use up their memory.
func skipUnderRaceDetector(t *testing.T) {
	t.Helper()
	if test.RaceEnabled() {
		t.Skip("the race detector maps memory of its own, and ends the process in its own way when it gets none")
	}
}

func TestLimitsMemoryIsToldApartFromACrash(t *testing.T) {
	skipUnderRaceDetector(t)
	test.SkipUnderQEMU(t, "it ignores limits of memory, which would be its own, too")
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	test.Check(t, err)
	defer null.Close()
	memory := &Limits{Memory: 64 << 20}
	for name, opts := range map[string]SpawnOptions{
		"text known":   {Stderr: new(strings.Builder), Limits: memory},
		"text unknown": {Stderr: null, Limits: memory},
	} {
		t.Run(name, func(t *testing.T) {
			e := limited(t, deedArgs{Do: "eat memory at once", N: 1 << 30}, opts)
			wantLimit(t, e, "memory", "Memory", nil)
			if e.Code != 2 || e.Panic == "" {
				t.Errorf("code %d, %q", e.Code, e.Panic)
			}
			_, err := ending(t, test.Context(t), "panic", &opts)
			if !errors.As(err, &e) || e.Limit != "" || e.Panic != "boom" {
				t.Errorf("%q: %v", e.Limit, err)
			}
		})
	}
	// With cgo, as with the race detector, it may be the stack of another thread for which there is no room.
	e := limited(t, deedArgs{Do: "eat memory", N: 1 << 20}, SpawnOptions{Stderr: null, Limits: memory})
	wantLimit(t, e, "memory", "Memory", nil)
}

// Most of what a child may have it can use: what Go's runtime has mapped and doesn't use is not counted.
func TestLimitsMemoryIsThere(t *testing.T) {
	skipUnderRaceDetector(t)
	test.SkipUnderQEMU(t, "it ignores limits of memory, which would be its own, too")
	got := answer(t, deedArgs{Do: "eat memory", N: 48}, SpawnOptions{Limits: &Limits{Memory: 64 << 20}})
	test.Equal(t, got, fmt.Sprint("48 MiB, soft limit ", 64<<20/10*9+3))
}

func TestLimitsMemoryOfAGrandchild(t *testing.T) {
	skipUnderRaceDetector(t)
	test.SkipUnderQEMU(t, "it ignores limits of memory, which would be its own, too")
	got := answer(t, deedArgs{Do: "ask a shell", Text: "test $(ulimit -Hd) -ge 65536 && test $(ulimit -Hd) -lt 200000; tail /dev/zero"},
		SpawnOptions{Limits: &Limits{Memory: 64 << 20}})
	if !strings.Contains(got, "exit status") && !strings.Contains(got, "signal") {
		t.Error(got)
	}
}

func TestLimitsFileSize(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	opts := SpawnOptions{Limits: &Limits{FileSize: 1 << 10, NoCore: true}}
	e := limited(t, deedArgs{Do: "write a file", Text: file, N: 1<<10 + 1}, opts)
	if e.Limit != "" || e.Err == nil || e.Err.Error() != "as expected" {
		t.Error(e)
	}
	test.Check(t, spawnIt(t, entryDeed, deedArgs{Do: "write a file", Text: file, N: 1 << 10}, &opts).Wait(test.Context(t)))
	e = limited(t, deedArgs{Do: "become a shell", Text: "exec head -c 2000 /dev/zero > " + file}, opts)
	wantLimit(t, e, "file size", "FileSize", syscall.SIGXFSZ)
}

func TestLimitsNoCore(t *testing.T) {
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	test.Check(t, err)
	if strings.ContainsAny(string(pattern), "/|") {
		t.Skipf("core dumps go elsewhere than to the working directory: %s", pattern)
	}
	for noCore, want := range map[bool]int{false: 1, true: 0} {
		dir := t.TempDir()
		e := limited(t, deedArgs{Do: "dump core"}, SpawnOptions{Dir: dir, Limits: &Limits{NoCore: noCore}})
		test.Equal[os.Signal](t, e.Signal, syscall.SIGSEGV)
		dumps, err := filepath.Glob(filepath.Join(dir, "core*"))
		test.Check(t, err)
		if len(dumps) != want {
			t.Errorf("NoCore %v: %d core dumps", noCore, len(dumps))
		}
	}
}

func TestLimitsThatTheSystemCannotHold(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		err    error
	}{
		"Processes":         {Limits{Processes: 10}, errors.ErrUnsupported},
		"not a cgroup":      {Limits{Cgroup: t.TempDir()}, errors.ErrUnsupported},
		"no such directory": {Limits{Cgroup: "/nowhere"}, os.ErrNotExist},
	} {
		_, err := Spawn(test.Context(t), entryDeed, deedArgs{Do: "nothing"}, &SpawnOptions{Limits: &c.limits})
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), "Limits.") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
