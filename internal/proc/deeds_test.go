package proc

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-gipc/gipc/internal/claim"
	"github.com/go-gipc/gipc/internal/fd"
	"github.com/go-gipc/gipc/internal/test"
)

// A child of these tests is this program again. It does what this variable of its environment says: a deed and its argument.
const deedEnv = "GIPC_TEST_DEED"

// Exit codes of a child that finds what it doesn't expect.
const (
	exitOrphan = 70
	exitRefuse = 71 // Inherit has failed
)

func TestMain(m *testing.M) {
	// The race detector makes every process sleep for a second before it exits: children need not.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	in, err := Inherit()
	switch deed := os.Getenv(deedEnv); {
	case err != nil:
		fmt.Println(err)
		os.Exit(exitRefuse)
	case in != nil:
		beChild(in, deed)
		os.Exit(0)
	case deed != "":
		fmt.Print("no child")
		os.Exit(0)
	}
	test.Prepare()
	os.Exit(m.Run())
}

// childSide is a child's side of a test.
type childSide struct {
	reports fd.End
	orders  chan string
	end     fd.End // of orders
}

func beChild(in *Inherited, deed string) {
	c := &childSide{reports: in.Reports, orders: make(chan string), end: in.Orders}
	go func() {
		for lines := bufio.NewScanner(in.Orders); lines.Scan(); {
			c.orders <- lines.Text()
		}
		os.Exit(exitOrphan)
	}()
	must(in.ReportCrashes(true))
	do, arg, _ := strings.Cut(deed, " ")
	deeds[do](c, arg)
}

// say sends the parent a line.
func (c *childSide) say(text ...any) {
	_, err := fmt.Fprintln(c.reports, text...)
	must(err)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

var deeds = map[string]func(c *childSide, arg string){
	"nothing": func(*childSide, string) {},
	"exit": func(_ *childSide, code string) {
		n, err := strconv.Atoi(code)
		must(err)
		os.Exit(n)
	},
	"panic": func(_ *childSide, value string) { panic(value) },
	"fatal": func(*childSide, string) { new(sync.Mutex).Unlock() },
	"overflow": func(*childSide, string) {
		debug.SetMaxStack(1 << 20)
		overflow(0)
	},
	"wait": func(c *childSide, _ string) {
		c.say("up")
		select {}
	},
	"obey": func(c *childSide, _ string) { // ends when it is told to
		c.say("up")
		<-c.orders
	},
	"echo": func(c *childSide, _ string) {
		for order := range c.orders {
			c.say(order)
		}
	},
	"deadlines": func(c *childSide, _ string) {
		must(c.end.SetReadDeadline(time.Now().Add(time.Hour)))
		must(c.reports.SetWriteDeadline(time.Now().Add(time.Hour)))
	},
	"pid": func(c *childSide, _ string) { c.say(os.Getpid()) },
	"about": func(c *childSide, key string) {
		dir, err := os.Getwd()
		must(err)
		_, marked := os.LookupEnv(claim.Mark)
		c.say(os.Args[0])
		c.say(dir)
		c.say(os.Getenv(key), marked)
	},
	"print": func(_ *childSide, text string) { fmt.Print(text) },
	"print-much": func(_ *childSide, size string) {
		n, err := strconv.Atoi(size)
		must(err)
		_, err = os.Stderr.Write(test.Pattern(n))
		must(err)
	},
	"print-both": func(*childSide, string) {
		for range 100 {
			fmt.Fprintln(os.Stdout, "out")
			fmt.Fprintln(os.Stderr, "err")
		}
	},
	"copy": func(*childSide, string) {
		_, err := io.Copy(os.Stdout, os.Stdin)
		must(err)
	},
	"write": func(c *childSide, _ string) { // to each of the descriptors that it is told
		for i, number := range strings.Fields(<-c.orders) {
			n, err := strconv.ParseUint(number, 10, 64)
			must(err)
			must(fd.Claim(uintptr(n)))
			f := fd.OpenFile(uintptr(n), false)
			_, err = fmt.Fprint(f, "written to ", i)
			must(err)
			must(f.Close())
		}
	},
	"log": func(c *childSide, text string) { // to the pipe whose number it is told
		n, err := strconv.ParseUint(<-c.orders, 10, 64)
		must(err)
		pipe, err := OpenLog(n)
		must(err)
		_, err = fmt.Fprint(pipe, text)
		must(err)
	},
	"parent": func(c *childSide, how string) { // of a process that holds its stdout
		cmd := test.Stranger()
		cmd.Stdout = os.Stdout
		must(cmd.Start())
		c.say(cmd.Process.Pid)
		switch <-c.orders; how {
		case "exits":
			os.Exit(0)
		case "exits with its group":
			ExitWithGroup(7)
		}
		select {}
	},
	"start-itself": func(c *childSide, _ string) {
		path, err := os.Executable()
		must(err)
		out, err := exec.Command(path).Output()
		must(err)
		c.say(string(out))
	},
}

//go:noinline
func overflow(n int) int {
	var room [64]int
	room[n%64] = n
	//lint:ignore SA5007 a stack overflow is what is tested
	return overflow(n+room[n%64]) + 1
}

// life is a child of a test, from its start to its end.
type life struct {
	*Child
	group errgroup.Group
	lines *bufio.Reader
	over  chan struct{} // closed when all that served it has ended; then err is set
	err   error
}

// serve serves a child.
func (l *life) serve() *life {
	l.over = make(chan struct{})
	l.Serve(&l.group, func(err error) {
		l.err = err
		close(l.over)
	})
	return l
}

// begin starts a child and serves it. It ends with the test.
func begin(t *testing.T, deed string, c Command) *life {
	t.Helper()
	test.Bounded(t)
	child, err := Start(doing(deed, &c))
	test.Check(t, err)
	l := (&life{Child: child, lines: bufio.NewReader(child.Reports)}).serve()
	t.Cleanup(func() {
		_ = l.Kill() // it may have ended
		_ = l.end()
	})
	return l
}

// doing makes a command start a child that does something.
func doing(deed string, c *Command) *Command {
	if c.Name == "" {
		c.Name = "child"
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	c.Env = append(c.Env, deedEnv+"="+deed)
	return c
}

// end waits for the child's end, and all that serves it, and returns what went wrong.
func (l *life) end() error {
	<-l.over
	_, _ = l.Orders.Close(), l.Reports.Close() // end may have been called before
	return l.err
}

func (l *life) order(t *testing.T, text string) {
	t.Helper()
	_, err := l.Orders.Write([]byte(text + "\n"))
	test.Check(t, err)
}

// said returns a line that the child says.
func (l *life) said(t *testing.T) string {
	t.Helper()
	line, err := l.lines.ReadString('\n')
	test.Check(t, err)
	return strings.TrimSuffix(line, "\n")
}

// endsWith waits for the child's end, which must be well but for its code.
func (l *life) endsWith(t *testing.T, code int) {
	t.Helper()
	test.Check(t, l.end())
	got, _, known := l.Status()
	test.Equal(t, got, code)
	test.Equal(t, known, true)
}
