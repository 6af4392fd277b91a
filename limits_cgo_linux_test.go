package gipc

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// loopInC is a program whose child spins in C, where Go's runtime can interrupt nothing.
const loopInC = `package main

// static void spin(void) { for (volatile unsigned n = 0;; n++) {} }
import "C"

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-gipc/gipc"
)

var spin = gipc.Register("spin", func(context.Context, int) error { C.spin(); return nil })

func main() {
	gipc.Init()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := gipc.Spawn(ctx, spin, 0, &gipc.SpawnOptions{Limits: &gipc.Limits{CPU: time.Second, NoCore: true}})
	if err == nil {
		err = p.Wait(ctx)
	}
	var exit *gipc.ExitError
	fmt.Println(errors.As(err, &exit))
	if exit != nil {
		fmt.Println(exit.Limit, exit.Signal)
	}
	fmt.Println(err)
}
`

func TestLimitsCPUEndsACLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	test.SkipUnderQEMU(t, "the compiler is not there")
	if _, err := buildProgram(t, "package main\n\nimport \"C\"\n\nfunc main() {}\n", "CGO_ENABLED=1"); err != nil {
		t.Skip("no C compiler for cgo: ", err)
	}
	path, err := buildProgram(t, loopInC, "CGO_ENABLED=1")
	test.Check(t, err)
	out, err := exec.Command(path).CombinedOutput()
	test.Check(t, err)
	for _, want := range []string{"true\n", "cpu CPU time limit exceeded\n", "Limits.CPU"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
}
