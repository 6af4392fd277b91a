// Quickstart counts the lines, words and bytes of all files in the trees that it is given, by default the current
// directory, and takes their SHA-256 sums. A few worker processes do it: the files stream to them, and the counts come
// back, over typed channels. With -crash one worker panics over one file; all others are counted nevertheless.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/go-gipc/gipc"
)

// Part is the next piece of a file. An empty one ends the file.
type Part struct {
	Data  []byte
	Crash bool
}

// Count is what a worker answers to a file.
type Count struct {
	Lines, Words, Bytes int
	SHA256              [sha256.Size]byte
}

// worker is what Spawn knows work by.
var worker = gipc.Register("worker", work)

// work runs in a child process. Its side of the conversation has moved there: it receives Part and sends Count.
func work(ctx context.Context, parent *gipc.Duplex[Part, Count]) error {
	count, sum, inWord := Count{}, sha256.New(), false
	for part, err := range parent.All(ctx) { // until the parent closes its side
		if err != nil {
			return err
		}
		if part.Crash {
			panic("told to crash")
		}
		if len(part.Data) == 0 {
			sum.Sum(count.SHA256[:0])
			if err := parent.Put(ctx, count); err != nil {
				return err
			}
			count, sum, inWord = Count{}, sha256.New(), false
		}
		sum.Write(part.Data)
		count.Bytes += len(part.Data)
		count.Lines += bytes.Count(part.Data, []byte("\n"))
		for _, b := range part.Data {
			space := b == ' ' || '\t' <= b && b <= '\r'
			if !space && !inWord {
				count.Words++
			}
			inWord = !space
		}
	}
	return nil
}

// serve starts a worker and has it count files until there are none left. If it dies, a fresh one gets the rest.
func serve(ctx context.Context, files <-chan string, crashOn string, results chan<- result) error {
	mine, theirs, err := gipc.NewDuplex[Count, Part](nil, nil)
	if err != nil {
		return err
	}
	// A panic is also printed to the child's stderr. It is dropped there, because the child's ExitError has it.
	child, err := gipc.Spawn(ctx, worker, theirs, &gipc.SpawnOptions{Stderr: io.Discard})
	if err != nil {
		return err
	}
	for file := range files {
		count, errFile, err := stream(ctx, mine, file, file == crashOn)
		if err != nil {
			_ = mine.CloseNow()
			err = cmp.Or(child.Stop(context.WithoutCancel(ctx)), err) // why the worker ended, not only that it did
			if ctx.Err() != nil {
				return ctx.Err()
			}
			results <- result{file: file, err: err}
			return serve(ctx, files, crashOn, results)
		}
		results <- result{file, count, errFile}
	}
	return errors.Join(mine.Close(), child.Wait(ctx))
}

// stream sends a file to a worker and waits for its count. If it returns err, the worker is of no use any more.
func stream(ctx context.Context, talk *gipc.Duplex[Count, Part], file string, crash bool) (c Count, errFile, err error) {
	f, errFile := os.Open(file)
	if errFile != nil {
		return c, errFile, nil
	}
	defer f.Close()
	for buf := make([]byte, 64<<10); errFile == nil; {
		var n int
		n, errFile = f.Read(buf) // nothing at the end of the file, or with an error
		if err := talk.Put(ctx, Part{buf[:n], crash}); err != nil {
			return c, nil, err
		}
	}
	if errFile == io.EOF {
		errFile = nil
	}
	c, err = talk.Get(ctx)
	return c, errFile, err
}

func main() {
	gipc.Init() // a child process runs work in here and never comes back
	crash := flag.Bool("crash", false, "make a worker panic over one file")
	verbose := flag.Bool("v", false, "print each file's counts and SHA-256 sum")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	files, err := list(flag.Args())
	if err != nil {
		exit(err)
	}
	crashOn := ""
	if *crash && len(files) > 0 {
		crashOn = files[len(files)/2]
	}
	queue, results, workers := make(chan string, len(files)), make(chan result), sync.WaitGroup{}
	for _, file := range files {
		queue <- file
	}
	close(queue)
	for range min(4, len(files)) {
		workers.Go(func() {
			if err := serve(ctx, queue, crashOn, results); err != nil {
				cancel(err)
			}
		})
	}
	go func() { workers.Wait(); close(results) }()
	report(results, len(files), *verbose)
	if ctx.Err() != nil {
		exit(context.Cause(ctx))
	}
}
