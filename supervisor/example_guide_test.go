package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/supervisor"
)

// The examples in this file are those of docs/guide.md.

var shouter = gipc.Register("guide shouter", func(ctx context.Context, parent *gipc.Duplex[string, string]) error {
	for word, err := range parent.All(ctx) {
		if err != nil {
			return err
		}
		if err := parent.Put(ctx, strings.ToUpper(word)+"!"); err != nil {
			return err
		}
	}
	return nil
})

var words, shouts = make(chan string), make(chan string)

// serve passes words to one life of a worker, until that is asked to stop, or has ended.
func serve(ctx context.Context, worker *gipc.Duplex[string, string]) {
	defer worker.Close() // the worker, if it still reads, sees a proper end; and no descriptors are left behind
	for {
		select {
		case <-ctx.Done():
			return
		case word := <-words:
			shout, err := exchange(ctx, worker, word)
			if err != nil {
				go func() { words <- word }() // another worker gets it
				return
			}
			shouts <- shout
		}
	}
}

func exchange(ctx context.Context, worker *gipc.Duplex[string, string], word string) (string, error) {
	if err := worker.Put(ctx, word); err != nil {
		return "", err
	}
	return worker.Get(ctx)
}

// begin makes the channels for one life of a worker. Its ctx ends when the child is asked to stop, and when it has ended.
func begin(ctx context.Context) (*gipc.Duplex[string, string], error) {
	mine, theirs, err := gipc.NewDuplex[string, string](nil, nil)
	if err != nil {
		return nil, err
	}
	go serve(ctx, mine)
	return theirs, nil
}

func Example_workers() {
	ctx := context.Background()
	s := supervisor.New(ctx, nil)
	worker := supervisor.Child(shouter, begin, nil)
	if err := s.Start(worker, worker, worker, worker); err != nil { // keep four running
		log.Fatal(err)
	}
	words <- "hello"
	fmt.Println(<-shouts)
	fmt.Println(s.Stop(ctx))
	// Output:
	// HELLO!
	// <nil>
}

var hopeless = gipc.Register("guide hopeless", func(ctx context.Context, _ struct{}) error {
	return errors.New("no licence found")
})

func Example_givingUp() {
	s := supervisor.New(context.Background(), &supervisor.Options{
		MaxRestarts: 2,
		Window:      time.Minute,
		Backoff:     supervisor.Backoff{Min: time.Millisecond},
		OnEvent: func(e supervisor.Event) {
			if e.Kind == supervisor.EventRestarting {
				fmt.Println("restarting", e.Child)
			}
		},
	})
	noArgs := func(context.Context) (struct{}, error) { return struct{}{}, nil }
	err := s.Start(supervisor.Child(hopeless, noArgs, &supervisor.ChildOptions{Restart: supervisor.Transient}))
	if err != nil {
		log.Fatal(err)
	}
	var gaveUp *supervisor.GaveUpError
	if errors.As(s.Wait(), &gaveUp) {
		fmt.Println("gave up on", gaveUp.Child, "after", gaveUp.Restarts, "restarts")
	}
	// Output:
	// restarting guide hopeless
	// restarting guide hopeless
	// gave up on guide hopeless after 2 restarts
}
