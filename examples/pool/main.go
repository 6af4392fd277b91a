// Pool is the program of the README.
package main

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/pool"
)

// shout runs in worker processes. One that crashes takes down nothing but its task.
var shout = pool.Register("shout", func(ctx context.Context, word string) (string, error) {
	if word == "" {
		panic("nothing to shout")
	}
	return strings.ToUpper(word) + "!", nil
})

func main() {
	gipc.Init() // in a worker: runs the tasks, and never returns
	ctx := context.Background()
	p, err := pool.New(shout, &pool.Options{Max: 4})
	if err != nil {
		log.Fatal(err)
	}
	for _, word := range []string{"hello", "", "world"} {
		loud, err := p.Do(ctx, word)
		fmt.Println(loud, err) // HELLO! <nil>, then a *pool.WorkerError with the panic, then WORLD! <nil>
	}
	if err := p.Close(); err != nil {
		log.Fatal(err)
	}
}
