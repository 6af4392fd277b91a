package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/big"
	"os"
	"slices"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/pool"
)

// The examples in this file are those of docs/pool.md.

// isPrime runs in worker processes.
var isPrime = pool.Register("is prime", func(ctx context.Context, n int64) (bool, error) {
	return big.NewInt(n).ProbablyPrime(20), nil
})

func Example() {
	ctx := context.Background()
	p, err := pool.New(isPrime, &pool.Options{Max: 4})
	if err != nil {
		log.Fatal(err)
	}
	prime, err := p.Do(ctx, 97)
	fmt.Println(prime, err)
	if err := p.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: true <nil>
}

func ExamplePool_All() {
	ctx := context.Background()
	p, err := pool.New(isPrime, &pool.Options{Max: 4})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	for prime, err := range p.All(ctx, slices.Values([]int64{5, 6, 7})) { // in this order
		fmt.Println(prime, err)
	}
	// Output:
	// true <nil>
	// false <nil>
	// true <nil>
}

type Config struct{ Greeting string }

// greet has something that each worker builds once.
var greet = pool.RegisterWith("greet", func(ctx context.Context, c Config) (func(context.Context, string) (string, error), error) {
	scratch, err := os.MkdirTemp("", "greet")
	if err != nil {
		return nil, err
	}
	pool.Cleanup(ctx, func() { os.RemoveAll(scratch) })
	return func(ctx context.Context, name string) (string, error) {
		return c.Greeting + ", " + name, nil
	}, nil
})

func ExampleRegisterWith() {
	p, err := pool.New(greet.With(Config{Greeting: "Hello"}), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	fmt.Println(p.Do(context.Background(), "Ann"))
	// Output: Hello, Ann <nil>
}

var ErrNoSuchUser = errors.New("no such user")

func init() { gipc.RegisterError("users.ErrNoSuchUser", ErrNoSuchUser) }

var lookUp = pool.Register("look up", func(ctx context.Context, name string) (int, error) {
	switch name {
	case "":
		panic("no name")
	case "nobody":
		return 0, fmt.Errorf("look up %q: %w", name, ErrNoSuchUser)
	}
	return 42, nil
})

func Example_errors() {
	p, err := pool.New(lookUp, &pool.Options{Spawn: &gipc.SpawnOptions{Stderr: new(discard)}})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	for _, name := range []string{"Ann", "nobody", ""} {
		id, err := p.Do(context.Background(), name)
		var failed *pool.TaskError
		var died *pool.WorkerError
		switch {
		case err == nil:
			fmt.Println("found", id)
		case errors.Is(err, ErrNoSuchUser):
			fmt.Println("not found")
		case errors.As(err, &failed):
			fmt.Println("failed:", failed)
		case errors.As(err, &died):
			fmt.Println("crashed:", died.Exit.Panic)
		default: // the ctx's error, pool.ErrTimeout, pool.ErrQueueFull, pool.ErrClosed, *pool.StartError
			fmt.Println("not run:", err)
		}
	}
	// Output:
	// found 42
	// not found
	// crashed: no name
}

type discard struct{}

func (*discard) Write(b []byte) (int, error) { return len(b), nil }

func Example_drain() {
	p, err := pool.New(isPrime, nil)
	if err != nil {
		log.Fatal(err)
	}
	// A service ends: it takes no more work, and finishes what it has, for a limited time.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		log.Print(err)
	}
	if err := p.Close(); err != nil {
		log.Print(err)
	}
	// Output:
}

func ExampleRun() {
	prime, err := pool.Run(context.Background(), isPrime, 4, nil) // in a process of its own
	fmt.Println(prime, err)
	// Output: false <nil>
}
