package gipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

const onWindows = runtime.GOOS == "windows"

// initEnv makes a child of the tests do something when its packages are initialized, before its main calls Init.
const initEnv = "GIPC_TEST_INIT"

func init() {
	what, loud := strings.CutPrefix(os.Getenv(initEnv), "up and ")
	if loud {
		fmt.Fprintln(os.Stderr, "up")
	}
	switch what {
	case "block":
		select {}
	case "spin":
		//lint:ignore SA5002 a busy loop is what is tested
		for {
		}
	case "exit 9":
		fmt.Fprintln(os.Stderr, "no configuration")
		os.Exit(9)
	case "exit 0":
		os.Exit(0)
	case "panic":
		panic("init failed")
	case "crash unreported": // as before the init of package gipc
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
		panic("init failed")
	case "exit 2":
		fmt.Fprintln(os.Stderr, "panic: no")
		os.Exit(2)
	case "print":
		fmt.Println("init says hello")
		fmt.Fprintln(os.Stderr, "init says hello there")
	}
}

// spawnBeforeInit makes this process one whose main forgot to call Init, and that prints what Spawn says to that.
func spawnBeforeInit() {
	if os.Getenv(initEnv) == "forgotten" {
		_, err := Spawn(context.Background(), entryDeed, deedArgs{Do: "nothing"}, nil)
		fmt.Println(errors.Is(err, ErrNotInitialized), err)
		os.Exit(0)
	}
}

// withInit makes a child's environment.
func withInit(what string) []string { return append(os.Environ(), initEnv+"="+what) }

// picky is an argument that its child refuses.
type picky struct{ Text string }

func (p picky) MarshalCBOR() ([]byte, error) { return []byte{0xf5}, nil }

func (p *picky) UnmarshalCBOR([]byte) error { return errors.New("too picky") }

// marshalHook calls a function when it is encoded: then Spawn has the ends.
type marshalHook struct{ hook func() }

func (h *marshalHook) MarshalCBOR() ([]byte, error) {
	h.hook()
	return []byte{0xf6}, nil
}

func (h *marshalHook) UnmarshalCBOR([]byte) error { return nil }
