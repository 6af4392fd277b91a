//go:build unix

package gipc

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

type fileModeArgs struct {
	File *os.File
	Name *Writer[string]
}

var entryFileMode = Register("file mode", func(ctx context.Context, a fileModeArgs) error {
	if err := a.File.SetReadDeadline(time.Now()); err != nil {
		return err // it has no deadlines: its mode was changed
	}
	return a.Name.Put(ctx, a.File.Name())
})

// TestFileKeepsItsMode hands one of two descriptors of the same open file over: whether that is non-blocking is a property
// of the open file, so that a child which changed it would block the goroutines of whoever has the other.
func TestFileKeepsItsMode(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	file, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	other, err := fd.Duplicate(file)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	names, name, err := Pipe[string](nil)
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	want := file.Name()
	p, err := Spawn(ctx, entryFileMode, fileModeArgs{file, name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := names.Get(ctx); err != nil || got != want {
		t.Errorf("in the child the file's name is %q, %v; want %q", got, err, want)
	}
	if err := p.Wait(ctx); err != nil {
		t.Error(err)
	}
	rc, err := other.SyscallConn()
	test.Check(t, err)
	var flags int
	test.Check(t, rc.Control(func(fd uintptr) { flags, _ = unix.FcntlInt(fd, unix.F_GETFL, 0) }))
	if flags&unix.O_NONBLOCK == 0 {
		t.Error("the child made the file blocking for everybody")
	}
}

var entryWriteExtraFile = Register("write to an extra file", func(context.Context, struct{}) error {
	n, err := strconv.Atoi(os.Getenv("EXTRA_FILE"))
	if err != nil {
		return err
	}
	_, err = os.NewFile(uintptr(n), "extra").WriteString("written")
	return err
})

func TestFileAppendedByCommandIsInherited(t *testing.T) {
	ctx := test.Context(t)
	r, w, err := os.Pipe()
	test.Check(t, err)
	defer r.Close()
	p := spawnIt(t, entryWriteExtraFile, struct{}{}, &SpawnOptions{Command: func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "EXTRA_FILE="+strconv.Itoa(3+len(cmd.ExtraFiles)))
		cmd.ExtraFiles = append(cmd.ExtraFiles, w)
	}})
	test.Check(t, w.Close())
	test.Check(t, p.Wait(ctx))
	if got, err := io.ReadAll(r); err != nil || string(got) != "written" {
		t.Errorf("got %q, %v", got, err)
	}
}

// An end over a socket moves like any other.
func TestEndOverASocketMoves(t *testing.T) {
	ctx := test.Context(t)
	accepted, dialed := test.Connected(t, "tcp", "127.0.0.1:0")
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "forward", In: NewReader[string](accepted, nil), Out: w}, nil)
	out := NewWriter[string](dialed, nil)
	for _, want := range []string{"a", "b"} {
		test.Check(t, out.Put(ctx, want))
		if got := get(t, ctx, r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	test.Check(t, out.Close())
	test.Check(t, p.Wait(ctx))
}
