//go:build unix

package gipc

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func init() {
	addDeed("log rubbish", func(context.Context, deedArgs) error {
		const logFD = 6              // behind the pipes for orders, reports and crashes
		n, err := syscall.Dup(logFD) // the poller has the other
		if err != nil {
			return err
		}
		pipe := os.NewFile(uintptr(n), "log")
		for range 1000 {
			if _, err := pipe.Write(bytes.Repeat([]byte("rubbish\x00\n"), 1000)); err != nil {
				return err
			}
		}
		if _, err := pipe.Write(bytes.Repeat([]byte("endless"), 1<<20)); err != nil {
			return err
		}
		_, err = pipe.WriteString("\n")
		slog.Info("honest")
		return err
	})
}

func TestLogOfAHostileChildIsHarmless(t *testing.T) {
	ctx := test.Context(t)
	n := &notes{}
	p := spawnIt(t, entryDeed, deedArgs{Do: "log rubbish"}, &SpawnOptions{Logger: slog.New(n)})
	test.Check(t, p.Wait(ctx))
	var messages []string
	for _, r := range n.records {
		messages = append(messages, r.Message)
	}
	if len(messages) < 2 || !strings.Contains(messages[0], "no record") || messages[len(messages)-1] != "honest" {
		t.Error(messages)
	}
}
