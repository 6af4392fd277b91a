// Hello is the program of docs/guide.md.
package main

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/go-gipc/gipc"
)

// shout runs in the child. It answers each message until the parent closes its side.
var shout = gipc.Register("shout", func(ctx context.Context, parent *gipc.Duplex[string, string]) error {
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

func main() {
	gipc.Init() // in the child: runs shout, and never returns
	ctx := context.Background()
	mine, theirs, err := gipc.NewDuplex[string, string](nil, nil)
	check(err)
	child, err := gipc.Spawn(ctx, shout, theirs, nil) // theirs moves to the child
	check(err)
	check(mine.Put(ctx, "hello"))
	answer, err := mine.Get(ctx)
	check(err)
	fmt.Println(answer)    // HELLO!
	check(mine.Close())    // ends the loop in the child
	check(child.Wait(ctx)) // nil: shout returned nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
