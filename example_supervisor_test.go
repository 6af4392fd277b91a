package gipc_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/go-gipc/gipc"
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
	defer worker.CloseNow()
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
	worker := gipc.Child(shout, func(ctx context.Context) (*gipc.Duplex[string, string], error) {
		mine, theirs, err := gipc.NewDuplex[string, string](nil, nil) // for each life of a worker
		if err == nil {
			go feed(ctx, mine)
		}
		return theirs, err
	}, nil)
	s := gipc.NewSupervisor(ctx, nil)
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

// TestREADMEHasTheSupervisorExample compares README.md with the example above, up to its first empty line.
func TestREADMEHasTheSupervisorExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_supervisor_test.go")
	if err != nil {
		t.Fatal(err)
	}
	unix := strings.NewReplacer("\r\n", "\n") // whatever git made of line ends
	_, code, _ := strings.Cut(unix.Replace(string(source)), "ctx := context.Background()\n")
	code, _, _ = strings.Cut(code, "\n\n")
	code = strings.ReplaceAll("\n"+code, "\n\t", "\n")
	if !strings.Contains(unix.Replace(string(readme)), "```go"+code+"\n") {
		t.Errorf("README.md does not contain:%s", code)
	}
}
