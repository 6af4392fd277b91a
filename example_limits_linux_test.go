package gipc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-gipc/gipc"
)

// This example is in docs/guide.md, too.

var decompress = gipc.Register("guide decompress", func(context.Context, string) error {
	for { // what it was given would take it years
	}
})

func ExampleLimits() {
	ctx := context.Background()
	child, err := gipc.Spawn(ctx, decompress, "bomb.zip", &gipc.SpawnOptions{
		Limits: &gipc.Limits{Memory: 1 << 30, CPU: time.Second, Files: 100, NoCore: true},
	})
	if err != nil {
		log.Fatal(err) // errors.ErrUnsupported: the system can't hold one of them
	}
	var exit *gipc.ExitError
	if errors.As(child.Wait(ctx), &exit) && exit.Limit != "" {
		fmt.Println("ended by its limit:", exit.Limit)
	}
	// Output: ended by its limit: cpu
}
