package gipc_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/go-gipc/gipc"
)

// This example is in docs/guide.md, too.

var decompress = gipc.Register("guide decompress", func(_ context.Context, size int) error {
	_, err := io.ReadFull(rand.Reader, make([]byte, size))
	return err
})

func ExampleLimits() {
	ctx := context.Background()
	child, err := gipc.Spawn(ctx, decompress, 1<<30, &gipc.SpawnOptions{
		Stderr: io.Discard,
		Limits: &gipc.Limits{Memory: 64 << 20, CPU: time.Minute, Files: 100, NoCore: true},
	})
	if err != nil {
		log.Fatal(err) // errors.ErrUnsupported: the system can't hold one of them
	}
	var exit *gipc.ExitError
	if errors.As(child.Wait(ctx), &exit) && exit.Limit != "" {
		fmt.Println("ended by its limit:", exit.Limit)
	}
	// Output: ended by its limit: memory
}
