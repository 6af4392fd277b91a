package gipc_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"strings"
	"time"

	"github.com/go-gipc/gipc"
)

// The examples in this file are those of docs/errors.md.

// receive handles messages until the stream ends, and counts those that it had to skip.
func receive(ctx context.Context, r *gipc.Reader[int], handle func(int)) (skipped int, err error) {
	var decode *gipc.DecodeError
	var tooLarge *gipc.TooLargeError
	for {
		v, err := r.Get(ctx)
		switch {
		case err == nil:
			handle(v)
		case err == io.EOF:
			return skipped, nil
		case errors.As(err, &decode), errors.As(err, &tooLarge):
			skipped++ // this message is lost, and the next one can be read
		default:
			return skipped, err
		}
	}
}

func Example_skip() {
	stream := bytes.NewReader([]byte("\x00\x00\x00\x011" + "\x00\x00\x00\x01x" + "\x00\x00\x00\x013"))
	r := gipc.NewReader(io.NopCloser(stream), &gipc.Options[int]{Codec: gipc.JSON[int]{}})
	fmt.Println(receive(context.Background(), r, func(v int) { fmt.Println(v) }))
	// Output:
	// 1
	// 3
	// 1 <nil>
}

var unlucky = gipc.Register("errors unlucky", func(ctx context.Context, numbers *gipc.Writer[int]) error {
	for i := range 100 {
		if err := numbers.Put(ctx, i); err != nil {
			return err
		}
		if i == 2 {
			os.Exit(3)
		}
	}
	return nil
})

// total adds up what a child sends. It returns an error if the child failed, even where the stream looks complete.
func total(ctx context.Context) (int, error) {
	r, w, err := gipc.Pipe[int](nil)
	if err != nil {
		return 0, err
	}
	child, err := gipc.Spawn(ctx, unlucky, w, nil)
	if err != nil {
		return 0, errors.Join(err, r.Close(), w.CloseNow())
	}
	sum, failed := 0, error(nil)
	for n, err := range r.All(ctx) {
		if err != nil {
			failed = err
			break
		}
		sum += n
	}
	_ = r.Close() // so that a child that still sends gets an error
	return sum, cmp.Or(child.Wait(ctx), failed)
}

func Example_incomplete() {
	sum, err := total(context.Background())
	var exit *gipc.ExitError
	if errors.As(err, &exit) {
		fmt.Println(sum, "is not the whole sum: exit code", exit.Code)
	}
	// Output: 3 is not the whole sum: exit code 3
}

// describe says how a child ended. The order matters: a panic has an exit code, too.
func describe(err error) string {
	var exit *gipc.ExitError
	switch {
	case err == nil:
		return "it ended well"
	case !errors.As(err, &exit):
		return "it may still run: " + err.Error() // the ctx of Wait ended
	case exit.Panic != "":
		return "it crashed: " + exit.Panic
	case exit.Signal != nil:
		return "a signal ended it: " + exit.Signal.String()
	case exit.Err != nil:
		return "it failed: " + exit.Err.Error()
	default:
		return fmt.Sprint("it exited with code ", exit.Code)
	}
}

var endAs = gipc.Register("errors end as", func(ctx context.Context, how string) error {
	switch how {
	case "panic":
		panic("no coffee left")
	case "exit":
		os.Exit(7)
	case "error":
		return errors.New("the disk is full")
	}
	return nil
})

func Example_exit() {
	ctx := context.Background()
	for _, how := range []string{"well", "error", "exit", "panic"} {
		child, err := gipc.Spawn(ctx, endAs, how, &gipc.SpawnOptions{Stderr: io.Discard})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(describe(child.Wait(ctx)))
	}
	// Output:
	// it ended well
	// it failed: the disk is full
	// it exited with code 7
	// it crashed: no coffee left
}

var errNoSuchUser = errors.New("there is no such user")

func init() { gipc.RegisterError("users.errNoSuchUser", errNoSuchUser) }

var lookUp = gipc.Register("errors look up", func(ctx context.Context, user string) error {
	return fmt.Errorf("%s: %w", user, errNoSuchUser)
})

func ExampleRegisterError() {
	ctx := context.Background()
	child, err := gipc.Spawn(ctx, lookUp, "ada", nil)
	if err != nil {
		log.Fatal(err)
	}
	err = child.Wait(ctx)
	fmt.Println(errors.Is(err, errNoSuchUser))
	// Output: true
}

func ExampleAppendRemoteError() {
	message := gipc.AppendRemoteError(nil, fmt.Errorf("open a.txt: %w", fs.ErrNotExist))
	remote, err := gipc.ParseRemoteError(message) // in another process
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(remote, errors.Is(remote, fs.ErrNotExist))
	// Output: open a.txt: file does not exist true
}

func Example_partial() {
	ctx := context.Background()
	r, w, err := gipc.Pipe(&gipc.Options[[]byte]{Codec: gipc.Raw{}})
	if err != nil {
		log.Fatal(err)
	}
	send := func(message []byte) error {
		soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		err := w.Put(soon, message)
		if errors.Is(err, gipc.ErrPartial) {
			return nil // the message will arrive: sending it again would send it twice
		}
		return err
	}
	fmt.Println(send(make([]byte, 4<<20))) // more than the pipe holds
	message, err := r.Get(ctx)
	fmt.Println(len(message), err)
	// Output:
	// <nil>
	// 4194304 <nil>
}

func Example_moved() {
	ctx := context.Background()
	r, w, err := gipc.Pipe[int](nil)
	if err != nil {
		log.Fatal(err)
	}
	child, err := gipc.Spawn(ctx, unlucky, w, nil)
	if err != nil {
		log.Fatal(err)
	}
	err = w.Put(ctx, 1)
	fmt.Println(errors.Is(err, gipc.ErrMoved), errors.Is(err, gipc.ErrClosed))
	_ = child.Wait(ctx)
	_ = r.Close()
	// Output: true true
}

func Example_unencodable() {
	type Task struct {
		Name string
		Done chan struct{}
	}
	_, _, err := gipc.Pipe[Task](nil)
	var encode *gipc.EncodeError
	fmt.Println(errors.As(err, &encode), strings.Contains(err.Error(), "Done"))
	// Output: true true
}
