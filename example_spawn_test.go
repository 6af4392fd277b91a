package gipc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-gipc/gipc"
)

// Request is what the parent sends, and Answer what comes back.
type Request struct{ Text string }

type Answer struct{ Shouted string }

var shoutOut = gipc.Register("shout out", func(ctx context.Context, requests *gipc.Duplex[Request, Answer]) error {
	for request, err := range requests.All(ctx) {
		if err != nil {
			return err
		}
		if err := requests.Put(ctx, Answer{strings.ToUpper(request.Text)}); err != nil {
			return err
		}
	}
	return nil
})

// The program's main, or in a test TestMain, must begin with gipc.Init().
func ExampleSpawn() {
	ctx := context.Background()
	mine, theirs, err := gipc.NewDuplex[Answer, Request](nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	child, err := gipc.Spawn(ctx, shoutOut, theirs, nil) // theirs is the child's from here on
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := mine.Put(ctx, Request{"hello"}); err != nil {
		fmt.Println(err)
		return
	}
	answer, err := mine.Get(ctx)
	fmt.Println(answer.Shouted, err)

	err = mine.Close() // the child sees the end, and returns
	fmt.Println(err, child.Wait(ctx))
	// Output:
	// HELLO <nil>
	// <nil> <nil>
}

var fragile = gipc.Register("fragile", func(ctx context.Context, index int) error {
	numbers := []int{1, 2, 3}
	fmt.Println(numbers[index])
	return nil
})

func ExampleExitError() {
	ctx := context.Background()
	child, err := gipc.Spawn(ctx, fragile, 3, &gipc.SpawnOptions{Stderr: new(strings.Builder)})
	if err != nil {
		fmt.Println(err)
		return
	}
	var exit *gipc.ExitError
	if errors.As(child.Wait(ctx), &exit) {
		fmt.Println(exit.Name, "exited with code", exit.Code)
		fmt.Println(strings.SplitN(exit.Panic, "\n", 2)[0])
	}
	// Output:
	// fragile exited with code 2
	// runtime error: index out of range [3] with length 3
}

var untilAsked = gipc.Register("until asked", func(ctx context.Context, _ struct{}) error {
	<-ctx.Done()
	return ctx.Err()
})

func ExampleProcess_Stop() {
	child, err := gipc.Spawn(context.Background(), untilAsked, struct{}{}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // then it would be killed
	defer cancel()
	fmt.Println(child.Alive())
	fmt.Println(child.Stop(ctx))
	fmt.Println(child.Alive())
	// Output:
	// true
	// <nil>
	// false
}
