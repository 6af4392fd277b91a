package gipc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-gipc/gipc"
)

// A Picture is what the examples send.
type Picture struct {
	Path  string
	Width int
}

func ExamplePipe() {
	ctx := context.Background()
	r, w, err := gipc.Pipe[Picture](nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := w.Put(ctx, Picture{Path: "cat.png", Width: 200}); err != nil {
		fmt.Println(err)
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
	}

	picture, err := r.Get(ctx)
	fmt.Println(picture, err)
	_, err = r.Get(ctx)
	fmt.Println(err == io.EOF)
	// Output:
	// {cat.png 200} <nil>
	// true
}

func ExampleNewDuplex() {
	ctx := context.Background()
	client, server, err := gipc.NewDuplex[int, Picture](nil, nil) // the first receives int and sends Picture
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { // usually in another process
		for picture, err := range server.All(ctx) {
			if err != nil {
				return
			}
			if err := server.Put(ctx, len(picture.Path)); err != nil {
				return
			}
		}
		_ = server.Close() // nobody waits for an answer any more
	}()

	if err := client.Put(ctx, Picture{Path: "cat.png"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(client.Get(ctx))
	fmt.Println(client.Close())
	// Output:
	// 7 <nil>
	// <nil>
}

func ExampleReader_All() {
	ctx := context.Background()
	r, w, err := gipc.Pipe[string](nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		for _, word := range []string{"to", "be", "or not"} {
			if err := w.Put(ctx, word); err != nil {
				_ = w.CloseNow() // the loop below gets io.ErrUnexpectedEOF
				return
			}
		}
		_ = w.Close() // that was all: it ends the loop below
	}()

	for word, err := range r.All(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(word)
	}
	// Output:
	// to
	// be
	// or not
}

func ExampleReader_Chan() {
	ctx := context.Background()
	r, w, err := gipc.Pipe[int](nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		for i := range 3 {
			if err := w.Put(ctx, i*i); err != nil {
				_ = w.CloseNow() // errs gets io.ErrUnexpectedEOF
				return
			}
		}
		_ = w.Close() // that was all
	}()

	numbers, errs := r.Chan(ctx)
	timeout := time.After(time.Minute)
	for open := true; open; {
		var n int
		select {
		case n, open = <-numbers:
			if open {
				fmt.Println(n)
			}
		case <-timeout:
			fmt.Println("timeout")
			return
		}
	}
	fmt.Println(<-errs)
	// Output:
	// 0
	// 1
	// 4
	// <nil>
}

// A Put whose ctx ends has sent nothing, or its error matches ErrPartial: then the first bytes were in the pipe already,
// and the message will arrive. Putting it again would send it twice.
func ExampleWriter_Put_cancelled() {
	r, w, err := gipc.Pipe(&gipc.Options[[]byte]{Codec: gipc.Raw{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	err = w.Put(ctx, make([]byte, 10<<20)) // more than the pipe holds, and nobody reads
	fmt.Println("deadline exceeded:", errors.Is(err, context.DeadlineExceeded))
	fmt.Println("will still arrive:", errors.Is(err, gipc.ErrPartial))

	message, err := r.Get(context.Background())
	fmt.Println(len(message), err)
	fmt.Println(w.Close())
	// Output:
	// deadline exceeded: true
	// will still arrive: true
	// 10485760 <nil>
	// <nil>
}
