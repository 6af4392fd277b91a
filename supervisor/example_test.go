package supervisor_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/supervisor"
)

// shout runs in the workers.
var shout = gipc.Register("example shout", func(ctx context.Context, parent *gipc.Duplex[string, string]) error {
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

var jobs, results = make(chan string), make(chan string)

// feed serves one worker until it is gone, which ctx and the channel tell. A job that it had then goes to another.
func feed(ctx context.Context, worker *gipc.Duplex[string, string]) {
	defer worker.Close() // its end is no failure: the worker gets io.EOF
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-jobs:
			err := worker.Put(ctx, job)
			var result string
			if err == nil {
				result, err = worker.Get(ctx)
			}
			if err != nil {
				go func() { jobs <- job }()
				return
			}
			results <- result
		}
	}
}

func ExampleSupervisor() {
	ctx := context.Background()
	worker := supervisor.Child(shout, func(ctx context.Context) (*gipc.Duplex[string, string], error) {
		mine, theirs, err := gipc.NewDuplex[string, string](nil, nil) // for each life of a worker
		if err == nil {
			go feed(ctx, mine)
		}
		return theirs, err
	}, nil)
	s := supervisor.New(ctx, nil)
	if err := s.Start(worker, worker, worker, worker); err != nil { // keep four running
		log.Fatal(err)
	}

	jobs <- "hello"
	fmt.Println(<-results)
	fmt.Println(s.Stop(ctx))
	// Output:
	// HELLO!
	// <nil>
}
