package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-gipc/gipc/internal/test"
)

// maxTail is how much of stderr ExitError.Stderr has, in bytes.
const maxTail = 16 << 10

// ending starts a child that ends in one of the endings, and returns what Wait does.
func ending(t *testing.T, ctx context.Context, how string, opts *SpawnOptions) (*Process, error) {
	t.Helper()
	r, order := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "await order", In: r}, opts)
	test.Check(t, order.Put(ctx, how))
	<-p.Done()
	return p, p.Wait(ctx)
}

func TestEveryEndIsToldApart(t *testing.T) {
	ctx := test.Context(t)
	for how, want := range map[string]struct {
		code  int
		err   string // of Err
		is    error
		value string // of Panic
		stack string
		text  string
	}{
		"nil":             {},
		"exit 0":          {},
		"exit 3":          {code: 3, text: "exited with code 3"},
		"error":           {code: 1, err: "no luck\ntoday", text: "failed: no luck\ntoday"},
		"error no UTF-8":  {code: 1, err: "bad \xff", text: "failed: bad \xff"},
		"error huge":      {code: 1, err: strings.Repeat("x", maxText), text: "failed: xxx"},
		"canceled":        {code: 1, err: "gave up: context canceled", is: context.Canceled},
		"deadline":        {code: 1, err: "context deadline exceeded", is: context.DeadlineExceeded},
		"panic":           {code: 2, value: "boom", stack: "gipc.init", text: "crashed: boom"},
		"panic lines":     {code: 2, value: "boom\ngoroutine 1 [running]:\npanic: bang", stack: "gipc.init", text: "crashed: boom"},
		"panic error":     {code: 2, value: "boom error", stack: "gipc.init"},
		"panic custom":    {code: 2, value: "customPanic", stack: "gipc.init"},
		"panic nil":       {code: 2, value: "invalid memory address", stack: "gipc.init"},
		"panic goexit":    {code: 1, err: "runtime.Goexit"},
		"panic cut short": {code: 1, err: "runtime.Goexit"},
		"panic leaving":   {code: 2, value: "boom on the way out", stack: "gipc.init"},
		"panic repeated":  {code: 2, value: "first", stack: "gipc.init"},
		"panic goroutine": {code: 2, value: "boom elsewhere", stack: "gipc.elsewhere"},
		"fatal map":       {code: 2, value: "concurrent map ", stack: "gipc.writeConcurrently"},
		"fatal late":      {code: 2, value: "concurrent map ", stack: "gipc.writeConcurrently"},
		"fatal stack":     {code: 2, value: "stack overflow", stack: "gipc.overflowing"},
		"panic init":      {code: 2, value: "Init was called by an entrypoint", stack: "gipc.Init"},
		"panic huge":      {code: 2, value: strings.Repeat("x", 200<<10), stack: "gipc.init"},
		"crash many":      {code: 2, value: "boom in a crowd", stack: "gipc.crashAmongMany"},
	} {
		t.Run(how, func(t *testing.T) {
			var output bytes.Buffer
			p, err := ending(t, ctx, how, &SpawnOptions{Name: "ender", Stderr: &output})
			if code, exited := p.ExitCode(); code != want.code || !exited {
				t.Errorf("code %d, exited %v; want %d", code, exited, want.code)
			}
			if want.code == 0 {
				test.Check(t, err)
				return
			}
			var e *ExitError
			if !errors.As(err, &e) {
				t.Fatalf("%T %v is no *ExitError", err, err)
			}
			if e.Name != "ender" || e.PID != p.PID() || e.Code != want.code || e.Signal != nil {
				t.Errorf("%+v", e)
			}
			if (e.Err != nil) != (want.err != "") || e.Err != nil && !strings.Contains(e.Err.Error(), want.err) {
				t.Errorf("Err %v, want %q", e.Err, want.err)
			}
			for _, target := range []error{context.Canceled, context.DeadlineExceeded} {
				if errors.Is(err, target) != (target == want.is) {
					t.Errorf("%v matches %v: %v", err, target, target != want.is)
				}
			}
			if !strings.Contains(e.Panic, want.value) || (e.Panic != "") != (want.value != "") {
				t.Errorf("Panic %q, want %q", e.Panic, want.value)
			}
			if !strings.Contains(string(e.Stack), want.stack) || (len(e.Stack) > 0) != (want.stack != "") {
				t.Errorf("want %s in the stack:\n%s", want.stack, e.Stack)
			}
			if strings.Count(string(e.Stack), "\ngoroutine ") > 0 {
				t.Errorf("more than one goroutine:\n%s", e.Stack)
			}
			head := fmt.Sprintf("gipc: child ender (pid %d) ", p.PID())
			if !strings.HasPrefix(err.Error(), head) || !strings.Contains(err.Error(), want.text) {
				t.Errorf("text %.300q, want %q in it", err, want.text)
			}
			if !bytes.HasSuffix(output.Bytes(), e.Stderr) || len(e.Stderr) != min(maxTail, output.Len()) {
				t.Errorf("%d bytes of %d kept", len(e.Stderr), output.Len())
			}
		})
	}
}

func TestOnlyTheCtxsErrorCountsAsAsked(t *testing.T) {
	remoteCanceled := func(asked bool) error {
		e, err := parseRemote(AppendRemoteError(nil, context.Canceled), asked)
		test.Check(t, err)
		return e
	}
	lost := errors.New("3 orders not saved")
	partial := func(cause error) error { return fmt.Errorf("%w: %w", cause, ErrPartial) } // of a cancelled Put
	for _, c := range []struct {
		err  error
		want bool
	}{
		{context.Canceled, true},
		{errAsked, true},
		{fmt.Errorf("gave up: %w", context.Canceled), true},
		{partial(context.Canceled), true},
		{&Error{"put", "w", partial(fmt.Errorf("%w: %w", context.Canceled, errAsked))}, true},
		{&ExitError{Err: remoteCanceled(true)}, true},
		{&ExitError{Err: remoteCanceled(false)}, false},
		{errors.Join(context.Canceled, lost), false},
		{fmt.Errorf("%w: %w", lost, context.Canceled), false},
		{fmt.Errorf("late: %w", errors.Join(context.Canceled, &Error{"put", "w", lost})), false},
	} {
		if got := onlyCanceled(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

func TestStderrTailIsTheLast16KiB(t *testing.T) {
	ctx := test.Context(t)
	var text strings.Builder
	for i := 0; text.Len() < 200<<10; i++ {
		fmt.Fprintln(&text, "line", i)
	}
	for _, size := range []int{0, 1, maxTail - 1, maxTail, maxTail + 1, 2*maxTail + 1, text.Len()} {
		said := text.String()[:size]
		var seen bytes.Buffer
		p := spawnIt(t, entryDeed, deedArgs{Do: "stderr", Text: said, N: 7}, &SpawnOptions{Stderr: &seen})
		var e *ExitError
		if !errors.As(p.Wait(ctx), &e) || e.Code != 7 {
			t.Fatal(p.Wait(ctx))
		}
		if seen.String() != said || string(e.Stderr) != said[max(0, size-maxTail):] {
			t.Errorf("said %d bytes, seen %d, kept %d", size, seen.Len(), len(e.Stderr))
		}
	}
	p := spawnIt(t, entryDeed, deedArgs{Do: "stderr", Text: "first\nlast words\n", N: 7}, &SpawnOptions{Stderr: new(bytes.Buffer)})
	if err := p.Wait(ctx); !strings.HasSuffix(err.Error(), "exited with code 7; its last words: last words") {
		t.Error(err)
	}
}

// An error's text goes into logs; its fields have all.
func TestErrorTextsAreBounded(t *testing.T) {
	long := strings.Repeat("é", 1<<20)
	for name, e := range map[string]*ExitError{
		"Panic":  {Panic: long},
		"Err":    {Code: 1, Err: errors.New("x" + long)},
		"Stderr": {Code: 3, Stderr: []byte(long)},
	} {
		text := e.Error()
		if len(text) > 1200 || !strings.HasSuffix(text, "é…") || !utf8.ValidString(text) {
			t.Errorf("%s: %d bytes, %.50q", name, len(text), text[len(text)-10:])
		}
	}
}

func TestKillAndTerminateAreToldApart(t *testing.T) {
	ctx := test.Context(t)
	for name, c := range map[string]struct {
		end  func(*Process) error
		sig  syscall.Signal
		text string
	}{
		"Kill":      {(*Process).Kill, syscall.SIGKILL, "killed by Kill"},
		"Terminate": {(*Process).Terminate, syscall.SIGTERM, "was ended by signal 15 (terminated): terminated by Terminate"},
		"both": {func(p *Process) error {
			_ = p.KillCause(errors.New("too slow"))
			_ = p.Terminate()
			return nil
		}, syscall.SIGKILL, "too slow"},
	} {
		r, w := stringPipe(t)
		p := spawnIt(t, entryDeed, deedArgs{Do: "ignore ctx", Out: w}, nil)
		get(t, ctx, r)
		test.Check(t, c.end(p))
		err := p.Wait(ctx)
		var e *ExitError
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", name, err)
		}
		if e.Err == nil {
			t.Errorf("%s: the reason is missing", name)
		}
		code, _ := p.ExitCode()
		if onWindows {
			if code != 128+int(c.sig) || e.Signal != nil {
				t.Errorf("%s: code %d, signal %v", name, code, e.Signal)
			}
			continue
		}
		if code != -int(c.sig) || e.Code != code || e.Signal != os.Signal(c.sig) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: code %d, %v", name, code, err)
		}
	}
}

// A reason to kill a child counts only where the kill ended it.
func TestKillIsNotBlamedForAnEndOfTheChildsOwn(t *testing.T) {
	ctx := test.Context(t)
	ended, end := context.WithCancelCause(ctx)
	end(errors.New("enough"))
	for name, kill := range map[string]func(*Process) error{
		"Kill": (*Process).Kill,
		"Stop": func(p *Process) error { return p.Stop(ended) },
	} {
		own := false
		for i := 0; i < 2000 && !own; i++ {
			r, order := stringPipe(t)
			p := spawnIt(t, entryDeed, deedArgs{Do: "await order", In: r}, nil)
			test.Check(t, order.Put(ctx, "exit 3"))
			p.child.Unreaped(func() { p.reason = fmt.Errorf("killed too late (%w)", ended.Err()) })
			time.Sleep(time.Duration(i) * 10 * time.Microsecond)
			_ = kill(p) // it may have ended
			err := p.Wait(ctx)
			code, _ := p.ExitCode()
			own = code == 3
			if own && (errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "kill") || strings.Contains(err.Error(), "stop")) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A panic in the init of a package is told as one in an entrypoint. If that package's init comes before gipc's, it is told by what
// the child's stderr has, where the parent reads that.
func TestPanicBeforeInitIsReported(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	test.Check(t, err)
	defer null.Close()
	for _, c := range []struct {
		what   string
		stderr io.Writer
		want   string // ExitError.Panic
	}{
		{"panic", null, "init failed"},
		{"panic", new(bytes.Buffer), "init failed"},
		{"crash unreported", new(bytes.Buffer), "init failed"},
		{"crash unreported", null, ""},
		{"exit 2", new(bytes.Buffer), ""},
	} {
		_, err := Spawn(t.Context(), entryDeed, deedArgs{Do: "nothing"}, &SpawnOptions{Env: withInit(c.what), Stderr: c.stderr})
		var e *ExitError
		if !errors.As(err, &e) || !errors.Is(err, ErrNotReady) || e.Code != 2 || !strings.Contains(err.Error(), "main before gipc.Init") {
			t.Fatalf("%s: %v", c.what, err)
		}
		if e.Panic != c.want || (c.want != "") != strings.Contains(string(e.Stack), "gipc.init") {
			t.Errorf("%s: Panic is %q in\n%s", c.what, e.Panic, e.Stack)
		}
	}
}
